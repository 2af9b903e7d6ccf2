//! What a worker says of itself.

use uuid::Uuid;
use weft_proto::workflow::v1 as pb;

use super::RemoteWorker;
use crate::{
    EntrypointDescription, TaskDescription,
    wire::{PROTOCOL, encode},
};

/// The first message of a worker, in a session of its own.
pub(super) fn of(remote: &RemoteWorker) -> pb::Hello {
    let (hosted, offered) = (remote.worker.describe(), remote.worker.describe_tasks());
    let most = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    pb::Hello {
        protocol: PROTOCOL,
        worker_name: remote.name.clone(),
        session_id: Uuid::now_v7().to_string(),
        entrypoints: hosted.iter().map(entrypoint).collect(),
        max_runs: most(remote.max_runs),
        client: concat!("weft-worker/", env!("CARGO_PKG_VERSION")).to_owned(),
        max_tasks: if offered.is_empty() {
            0
        } else {
            most(remote.max_tasks)
        },
        tasks: offered.iter().map(task).collect(),
    }
}

fn entrypoint(hosted: &EntrypointDescription) -> pb::HostedEntrypoint {
    pb::HostedEntrypoint {
        name: hosted.name.to_string(),
        version: hosted.version.to_string(),
        accepts: hosted.accepts.iter().map(ToString::to_string).collect(),
        description: hosted.description.clone(),
        input_schema: hosted.input_schema.as_deref().map(encode::payload),
        strict: hosted.is_strict,
        output_ttl: hosted.cache_ttl.map(encode::duration),
    }
}

fn task(offered: &TaskDescription) -> pb::HostedTask {
    pb::HostedTask {
        name: offered.name.to_string(),
        description: offered.description.clone(),
        input_schema: offered.input_schema.as_deref().map(encode::payload),
        output_schema: offered.output_schema.as_deref().map(encode::payload),
    }
}
