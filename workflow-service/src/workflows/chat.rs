//! `chat`: a conversation that remembers its users across threads. The reference program.

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use weft_worker::{Context, Entrypoint, Failure, Final, InvalidArgument};

use super::{
    Services, arguments,
    conversation::{Settings, continued},
    extraction::{self, Exchange},
    memories::{
        Memory, MemoryMode, MemorySettings, Remember, asks_to_remember, namespace, notice_of,
        system_prompt,
    },
    memory_tools::MemoryTool,
    summary,
    toolbox::Toolbox,
    turn::Turn,
};
use crate::llm::message::{Message, NewMessages};

/// Answers of one turn in memory mode `tool`: one may remember many things, at once or one by one.
const MAX_STEPS: u32 = 10;

/// Chat is the entrypoint.
#[derive(Clone)]
pub struct Chat {
    /// What it needs from the service.
    pub services: Services,
}

/// Settings of a run beside those of any conversation. Other keys are the caller's own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ChatSettings {
    memory: MemorySettings,
}

impl Chat {
    /// The entrypoint.
    pub fn entrypoint(self) -> Entrypoint {
        let (run, check) = (self.clone(), self);
        Entrypoint::new("chat", "1", move |context, messages| {
            run.clone().run(context, messages)
        })
        .description("A conversation that remembers its users across threads.")
        .input_type::<NewMessages>()
        .check(move |input, config| check.check(input, config))
    }

    async fn run(
        self,
        context: Context,
        NewMessages(changes): NewMessages,
    ) -> Result<Final<Message, Vec<Message>>, Failure> {
        let settings: Settings = context.config()?;
        let ChatSettings { memory } = context.config()?;
        let services = &self.services;
        let user_id = settings.user_id.clone().unwrap_or_default();
        let conversation = continued(&context, changes)?;
        let last = conversation.last();
        let said = last.map_or_else(String::new, |message| message.content.text().into_owned());

        let mut remembering = Remembering {
            services,
            context: &context,
            settings: &memory,
            user_id: &user_id,
            notice: None,
        };
        let known = remembering.recall(&said).await?;
        if memory.mode == MemoryMode::Keyword && asks_to_remember(&said) {
            remembering.remember(&said).await?;
        }
        let mut conversation =
            summary::shortened(services, &context, &settings, conversation).await?;
        let turn = Turn {
            services,
            context: &context,
            settings: &settings,
            system: system_prompt(settings.system.as_deref(), &known),
            tools: &self.tools(&memory, &user_id),
            max_steps: MAX_STEPS,
            more_steps: "",
        };
        let mut answer = turn.take(&mut conversation).await?;
        if memory.mode == MemoryMode::Extract {
            let exchange = Exchange {
                model: settings.model.clone(),
                user_id: &user_id,
                said: &said,
                answer: &answer,
                known: &known,
            };
            let told = extraction::extract(services, &context, &memory, exchange).await;
            remembering.note(told)?;
        }
        answer.notice = remembering.notice;
        if let Some(last) = conversation.last_mut() {
            last.notice.clone_from(&answer.notice);
        }
        Ok(Final {
            value: answer,
            saved: conversation,
        })
    }

    /// What the model can have done: in mode `tool`, to remember.
    fn tools(&self, memory: &MemorySettings, user_id: &str) -> Toolbox {
        let mut tools = Toolbox::default();
        if memory.mode == MemoryMode::Tool {
            let remember = MemoryTool::Remember.of(&self.services, memory, user_id);
            // The only one: its name is free.
            let _ = tools.add(remember);
        }
        tools
    }

    fn check(&self, input: &RawValue, config: &RawValue) -> Vec<InvalidArgument> {
        let mut invalid = Vec::new();
        if let Err(error) = arguments::read::<NewMessages>("input", input) {
            invalid.push(error);
        }
        arguments::check_dots(config, &mut invalid);
        let settings: Settings = arguments::read_config(config, &mut invalid);
        let ChatSettings { memory } = arguments::read_config(config, &mut invalid);
        let mut senseless = Vec::new();
        settings.check(&self.services, &mut senseless);
        memory.check(&mut senseless);
        if settings.user_id.is_none() {
            let why = "is required; say whose memories to use";
            senseless.push(InvalidArgument::new("config.user_id", why));
        }
        if memory.mode == MemoryMode::Extract {
            let model = settings.model.as_deref();
            let asked = self.services.check_question(model, &extraction::options());
            let whys = asked.into_iter().map(|(field, why)| match field.as_str() {
                "model" => format!("the model {why}"),
                field => format!("it asks for `{field}`, which {why}"),
            });
            senseless.extend(whys.map(|why| {
                let why = format!("cannot be `extract`: {why}");
                InvalidArgument::new("config.memory.mode", why)
            }));
        }
        arguments::join(&mut invalid, senseless);
        invalid
    }
}

/// What a run does about memory, and what of it its reader must be told.
struct Remembering<'a> {
    services: &'a Services,
    context: &'a Context,
    settings: &'a MemorySettings,
    user_id: &'a str,
    notice: Option<String>,
}

impl Remembering<'_> {
    async fn recall(&mut self, said: &str) -> Result<Vec<Memory>, Failure> {
        if self.settings.mode == MemoryMode::Off {
            return Ok(Vec::new());
        }
        let task = self.services.recall(self.settings.retry());
        let recall = self.settings.recall(self.user_id, said);
        match self.context.call(&task, recall).await {
            Ok(known) => Ok(known),
            Err(failure) => self.note(Err(failure)).map(|()| Vec::new()),
        }
    }

    async fn remember(&mut self, said: &str) -> Result<(), Failure> {
        let task = self.services.remember(self.settings.retry());
        let remember = Remember {
            namespace: namespace(self.user_id),
            key: None,
            data: said.to_owned(),
        };
        let stored = self.context.call(&task, remember).await;
        self.note(stored.map(|_| None))
    }

    /// Notes what the reader must know, also as an event; a failure only if the run may go on
    /// without memory.
    fn note(&mut self, told: Result<Option<String>, Failure>) -> Result<(), Failure> {
        let notice = match told {
            Ok(notice) => notice,
            Err(failure) => Some(notice_of(failure, self.settings)?),
        };
        if let Some(notice) = notice {
            self.context.write(&json!({ "notice": notice }))?;
            self.notice = Some(notice);
        }
        Ok(())
    }
}
