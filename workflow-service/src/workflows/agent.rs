//! `agent`: a model that calls tools until it is done. Every answer of the model and every call of a
//! tool is recorded, so that a crash in the middle costs none of them twice.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use weft_worker::{Context, Entrypoint, Failure, Final, InvalidArgument};

use super::{
    Services, arguments,
    conversation::{Settings, continued},
    memories::MemorySettings,
    memory_tools::MemoryTool,
    summary,
    task_tools::{TaskChoice, TaskSpec, TaskTool, ToolChoice, described},
    tool::{Tool, text_of},
    toolbox::Toolbox,
    turn::Turn,
};
use crate::llm::{
    message::{Message, NewMessages},
    options::ToolSpec,
};

/// Answers of the model in one run, unless its config says otherwise.
const DEFAULT_MAX_STEPS: u32 = 25;
const DEFAULT_SYSTEM: &str = "You are a helpful assistant. Use your tools where they help.";
/// Name of the tool that asks the person.
const ASK_PERSON: &str = "ask_person";

/// Agent is the entrypoint.
#[derive(Clone)]
pub struct Agent {
    /// What it needs from the service.
    pub services: Services,
}

/// Settings of a run beside those of any conversation. Other keys are the caller's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct AgentSettings {
    memory: MemorySettings,
    /// Tools of the service and tasks that workers offer; absent for tools of memory, if there is a
    /// `user_id`.
    tools: Option<Vec<ToolChoice>>,
    /// Tools of the caller: their calls are interrupts, and the answers their results.
    caller_tools: Vec<ToolSpec>,
    /// Tools whose calls a person has to approve; `*` for all.
    approve: Vec<String>,
    /// Most answers of the model.
    max_steps: u32,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            memory: MemorySettings::default(),
            tools: None,
            caller_tools: Vec::new(),
            approve: Vec::new(),
            max_steps: DEFAULT_MAX_STEPS,
        }
    }
}

impl AgentSettings {
    /// The tasks that are to be tools.
    fn tasks(&self) -> impl Iterator<Item = &TaskChoice> {
        let chosen = self.tools.iter().flatten();
        chosen.filter_map(|choice| match choice {
            ToolChoice::Task(task) => Some(task),
            ToolChoice::Named(_) => None,
        })
    }
}

impl Agent {
    /// The entrypoint.
    pub fn entrypoint(self) -> Entrypoint {
        let (run, check) = (self.clone(), self);
        Entrypoint::new("agent", "1", move |context, messages| {
            run.clone().run(context, messages)
        })
        .description("A model that calls tools until it is done.")
        .input_type::<NewMessages>()
        .check(move |input, config| check.check(input, config))
    }

    async fn run(
        self,
        context: Context,
        NewMessages(changes): NewMessages,
    ) -> Result<Final<Message, Vec<Message>>, Failure> {
        let settings: Settings = context.config()?;
        let agent: AgentSettings = context.config()?;
        let tasks = agent.tasks().map(|choice| choice.task.as_str()).collect();
        let tasks = described(&context, tasks).await?;
        let tools = self.tools(&settings, &agent, &tasks);
        let tools = tools.map_err(|(_, why)| Failure::new("INVALID_TOOL", why))?;
        let (services, settings) = (&self.services, &settings);
        let conversation = continued(&context, changes)?;
        let mut conversation =
            summary::shortened(services, &context, settings, conversation).await?;
        let system = settings.system.as_deref().unwrap_or(DEFAULT_SYSTEM);
        let turn = Turn {
            services,
            context: &context,
            settings,
            system: system.to_owned(),
            tools: &tools,
            max_steps: agent.max_steps,
            more_steps: "; a new run may be given more with `config.max_steps`",
        };
        let answer = turn.take(&mut conversation).await?;
        Ok(Final {
            value: answer,
            saved: conversation,
        })
    }

    /// The tools of a run, whose tasks workers describe like this.
    ///
    /// # Errors
    /// The field of the config that is wrong, and why.
    fn tools(
        &self,
        settings: &Settings,
        agent: &AgentSettings,
        tasks: &[TaskSpec],
    ) -> Result<Toolbox, (&'static str, String)> {
        let mut tools = Toolbox::default();
        let user_id = settings.user_id.as_deref();
        let of_memory = || MemoryTool::ALL.map(|tool| ToolChoice::Named(tool.name().to_owned()));
        let chosen = match (&agent.tools, user_id) {
            (Some(chosen), _) => chosen.clone(),
            (None, Some(_)) => of_memory().to_vec(),
            (None, None) => Vec::new(),
        };
        for choice in chosen {
            let added = match choice {
                ToolChoice::Named(name) => tools.add(self.named_tool(&name, agent, user_id)?),
                ToolChoice::Task(task) => {
                    let added = tools.add(Arc::new(TaskTool::new(&task, tasks)));
                    added.map_err(|why| format!("{why}; a task can be given another `name`"))
                }
            };
            added.map_err(|why| ("tools", why))?;
        }
        for spec in &agent.caller_tools {
            let tool = Arc::new(CallerTool(spec.clone()));
            tools.add(tool).map_err(|why| ("caller_tools", why))?;
        }
        let tasks = agent.tasks().filter(|task| task.approve);
        let approve = tasks.map(|task| task.name().to_owned());
        let approve: Vec<_> = agent.approve.iter().cloned().chain(approve).collect();
        let approved = tools.approve(&approve);
        approved.map_err(|why| ("approve", why))?;
        Ok(tools)
    }

    /// A tool of the service.
    fn named_tool(
        &self,
        name: &str,
        agent: &AgentSettings,
        user_id: Option<&str>,
    ) -> Result<Arc<dyn Tool>, (&'static str, String)> {
        let of_memory = MemoryTool::ALL.into_iter().find(|tool| tool.name() == name);
        match (of_memory, user_id) {
            (Some(tool), Some(user_id)) => Ok(tool.of(&self.services, &agent.memory, user_id)),
            (Some(_), None) => Err(("user_id", format!("is required of the tool `{name}`"))),
            (None, _) if name == ASK_PERSON => Ok(Arc::new(AskPerson)),
            (None, _) => {
                let known = MemoryTool::ALL.map(|tool| format!("`{}`", tool.name()));
                let known = known.join(", ");
                let what = format!(
                    "has `{name}`, which is none; there are {known}, `{ASK_PERSON}`, and tasks that \
                     workers offer, as `task/NAME`"
                );
                Err(("tools", what))
            }
        }
    }

    fn check(&self, input: &RawValue, config: &RawValue) -> Vec<InvalidArgument> {
        let mut invalid = Vec::new();
        if let Err(error) = arguments::read::<NewMessages>("input", input) {
            invalid.push(error);
        }
        arguments::check_dots(config, &mut invalid);
        let settings: Settings = arguments::read_config(config, &mut invalid);
        let agent: AgentSettings = arguments::read_config(config, &mut invalid);
        let mut senseless = Vec::new();
        settings.check(&self.services, &mut senseless);
        agent.memory.check(&mut senseless);
        // What is left of tools that cannot be read says nothing about those that can.
        let are_read = !invalid
            .iter()
            .any(|wrong| wrong.field.starts_with("config.caller_tools"));
        if are_read && let Err((field, why)) = self.tools(&settings, &agent, &[]) {
            senseless.push(InvalidArgument::new(format!("config.{field}"), why));
        }
        if agent.max_steps == 0 {
            let why = "must be more than zero";
            senseless.push(InvalidArgument::new("config.max_steps", why));
        }
        arguments::join(&mut invalid, senseless);
        invalid
    }
}

/// A tool with which the model asks the person something.
struct AskPerson;

impl Tool for AskPerson {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: ASK_PERSON.to_owned(),
            description: "Asks the person a question that you cannot go on without.".to_owned(),
            input_schema: json!({
                "type": "object",
                "properties": { "question": { "type": "string" } },
                "required": ["question"],
                "additionalProperties": false,
            }),
        }
    }

    fn call(
        &self,
        context: Context,
        arguments: Value,
    ) -> BoxFuture<'static, Result<String, Failure>> {
        async move {
            let question = json!({ "type": "question", "question": arguments["question"] });
            let answer: Value = context.interrupt(&question).await?;
            Ok(text_of(answer))
        }
        .boxed()
    }
}

/// A tool that whoever started the run has: it is called by asking them.
struct CallerTool(ToolSpec);

impl Tool for CallerTool {
    fn spec(&self) -> ToolSpec {
        self.0.clone()
    }

    fn call(
        &self,
        context: Context,
        arguments: Value,
    ) -> BoxFuture<'static, Result<String, Failure>> {
        let name = self.0.name.clone();
        async move {
            let question = json!({ "type": "tool_call", "tool": name, "arguments": arguments });
            let result: Value = context.interrupt(&question).await?;
            Ok(text_of(result))
        }
        .boxed()
    }
}
