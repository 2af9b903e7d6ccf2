//! The task that workers offer on its own.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use weft_worker::{Context, Failure, Target, Task, TaskContext};

use crate::{
    Effect, Outside,
    execute::RETRY,
    program::{OFFERED, OFFERED_TARGET},
};

/// Argument of the task.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Asked {
    pub(crate) number: u64,
    pub(crate) failures: u32,
    pub(crate) takes: Duration,
}

/// The task that programs call and that a worker has to offer. It returns its number, and the key of
/// its call.
pub fn offered(outside: Arc<dyn Outside>) -> Task<Asked, (u64, String)> {
    Task::new(OFFERED, move |task: TaskContext, asked: Asked| {
        let key = task.idempotency_key();
        outside.note(Effect::Ran(&key));
        async move {
            tokio::time::sleep(asked.takes).await;
            match task.attempt() <= asked.failures {
                true => Err(Failure::transient("AWAY", "away")),
                false => Ok((asked.number, key)),
            }
        }
    })
    .retry(RETRY)
}

/// Calls it, by whichever worker offers it. The policy is that of the task.
pub(crate) async fn call_offered(
    context: &Context,
    outside: &Arc<dyn Outside>,
    asked: Asked,
) -> Result<u64, Failure> {
    let target = Target::<Asked, (u64, String)>::new(OFFERED_TARGET);
    let (number, key) = context.call_target(&target, &asked).await?;
    outside.note(Effect::Seen(&key));
    Ok(number)
}
