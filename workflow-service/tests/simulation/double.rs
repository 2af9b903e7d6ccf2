//! A double of what the service does itself: it repeats what it is told, after a while, and now and
//! then only after it has failed or hung.

use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt as _;
use random_programs::{Effect, Outside as _};
use serde_json::json;
use weft_worker::{
    Failure, Json, json,
    protocol::{MessagePart, MessagePiece, Outcome},
};
use workflow_service::engine::{CallTarget, TargetContext};

use crate::world::World;

/// Longest time of an attempt.
const LONGEST: Duration = Duration::from_secs(2);
/// Longer than any attempt may take.
const HANG: Duration = Duration::from_secs(600);
/// Attempts that may fail: less than programs make.
const MAX_FAILURES: u32 = 5;

pub(crate) struct Double(pub(crate) World);

#[async_trait]
impl CallTarget for Double {
    async fn call(&self, context: TargetContext, input: Json) -> Outcome {
        let Self(world) = self;
        let key = context.idempotency_key();
        world.outside().note(Effect::Ran(&key));
        let attempt = context.attempt;
        world.note(format!(
            "    attempt {attempt} of the target of {}",
            context.call
        ));
        context.write_message_piece(MessagePiece {
            message_id: "m".into(),
            text: "sa".to_owned(),
            part: MessagePart::Text,
            model: "double:scripted".into(),
        });
        world.pause(LONGEST).await;
        if attempt <= MAX_FAILURES && world.chance(world.faults().refused_targets) {
            if world.state().random.random() {
                tokio::time::sleep(HANG).await;
            }
            return Err(Failure::transient("AWAY", "away"));
        }
        json::encode("the answer", &json!({ "content": input.get(), "key": key }))
    }
}
