//! A turn: a model and its tools, until the model is done.

use futures::future::join_all;
use weft_worker::{Context, Failure};

use super::{
    Services, conversation::Settings, derived_id, model::Question, summary, toolbox::Toolbox,
};
use crate::llm::message::{Message, StopReason};

/// Turn is what it takes to answer.
pub struct Turn<'a> {
    /// The service.
    pub services: &'a Services,
    /// The run.
    pub context: &'a Context,
    /// Its settings.
    pub settings: &'a Settings,
    /// What the model is told about its role.
    pub system: String,
    /// What it can have done.
    pub tools: &'a Toolbox,
    /// Most answers of the model, those that call tools included.
    pub max_steps: u32,
    /// How a caller gets more, as the end of a sentence.
    pub more_steps: &'static str,
}

impl Turn<'_> {
    /// Lets the model answer a conversation, which is continued with all that is said: the answer
    /// is its last message. Calls of tools that the model makes at once are done at once.
    ///
    /// # Errors
    /// `STEP_LIMIT` if the model still calls tools after `max_steps` answers; what the model's task
    /// fails with.
    pub async fn take(self, conversation: &mut Vec<Message>) -> Result<Message, Failure> {
        let task = self.services.call_model();
        for _ in 0..self.max_steps {
            let question = Question {
                model: self.settings.model.clone(),
                system: self.system.clone(),
                messages: summary::given(conversation, self.settings.history),
                tools: self.tools.specs(),
                options: self.settings.options.clone(),
            };
            let answer = self.context.call(&task, question).await?;
            conversation.push(answer.clone());
            let calls: Vec<_> = answer.content.tool_calls().cloned().collect();
            // It paused in the middle of a long answer: it goes on if it is given what it said.
            let goes_on = answer.stop_reason == Some(StopReason::PauseTurn);
            if calls.is_empty() && !goes_on {
                return Ok(answer);
            }
            let results = calls
                .into_iter()
                .map(|call| self.tools.call(self.context, call));
            let results = join_all(results).await;
            for result in results {
                let result = result?;
                let place = conversation.len();
                let id = derived_id(&format!("{}/tool/{place}", self.context.run_id()));
                conversation.push(result.with_id(id));
            }
        }
        let what = format!(
            "the model still called tools in its answer number {}, the last one it may give in a run; \
             a stream of `TASKS` shows what it did{}",
            self.max_steps, self.more_steps
        );
        Err(Failure::new("STEP_LIMIT", what))
    }
}
