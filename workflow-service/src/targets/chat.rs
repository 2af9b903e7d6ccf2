//! `llm/chat`: asks a model. Its argument is a [`Question`], its result the model's message.

use std::sync::Arc;

use async_trait::async_trait;
use weft_worker::{Json, json, protocol::Outcome};

use crate::{
    engine::{CallTarget, TargetContext},
    workflows::{
        Services,
        model::{Asker, Question},
    },
};

/// ChatTarget is the target `llm/chat`.
pub struct ChatTarget {
    /// What it needs from the service.
    pub services: Services,
}

#[async_trait]
impl CallTarget for ChatTarget {
    async fn call(&self, context: TargetContext, input: Json) -> Outcome {
        let question: Question = super::read(&input)?;
        let asker = Asker {
            key: context.idempotency_key(),
            thread: Arc::clone(&context.thread_id),
            meter: &|usage| context.add_usage(usage),
            write: &|piece| context.write_message_piece(piece),
            warn: &|reason, message| context.warn(reason, message),
        };
        let message = self.services.ask(asker, question).await?;
        json::encode("the message", &message)
    }
}
