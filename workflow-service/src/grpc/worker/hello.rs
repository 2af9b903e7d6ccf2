//! Who connects.

use service_runtime::Violations;
use weft_proto::workflow::v1 as pb;
use weft_worker::{
    EntrypointDescription,
    wire::{PROTOCOL, decode},
};

use super::{schema, value};
use crate::engine::NewWorker;

/// Longest name or version, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Most entrypoints of one worker, and versions that one of them accepts.
const MAX_ENTRYPOINTS: usize = 1000;

/// The worker that says Hello. `built_in` says which names of entrypoints are the service's own.
pub(super) fn new_worker(
    hello: pb::Hello,
    built_in: impl Fn(&str) -> bool,
) -> Result<NewWorker, Violations> {
    let mut violations = Violations::default();
    if hello.protocol != PROTOCOL {
        let what = format!(
            "must be {PROTOCOL}, the only version that is spoken here, not {}",
            hello.protocol
        );
        violations.push("hello.protocol", what);
    }
    if hello.session_id.len() > MAX_NAME_BYTES {
        violations.push("hello.session_id", at_most_bytes());
    }
    if hello.worker_name.len() > MAX_NAME_BYTES {
        violations.push("hello.worker_name", at_most_bytes());
    }
    let max_runs = u32::try_from(hello.max_runs).unwrap_or_else(|_| {
        violations.push("hello.max_runs", "must not be negative");
        0
    });
    if !(1..=MAX_ENTRYPOINTS).contains(&hello.entrypoints.len()) {
        let what = format!("must be 1 to {MAX_ENTRYPOINTS}");
        violations.push("hello.entrypoints", what);
    }
    let hosted = (0..).zip(hello.entrypoints).take(MAX_ENTRYPOINTS);
    let hosted = hosted
        .map(|(place, entrypoint)| {
            let field = format!("hello.entrypoints[{place}]");
            if built_in(&entrypoint.name) {
                let what = format!("`{}` is built in; choose another name", entrypoint.name);
                violations.push(format!("{field}.name"), what);
            }
            described(&field, entrypoint, &mut violations)
        })
        .collect();
    let name = match hello.worker_name.as_str() {
        "" => "without a name",
        name => name,
    };
    let worker = NewWorker {
        name: name.into(),
        hosted,
        max_runs,
    };
    violations.into_result(worker)
}

fn described(
    field: &str,
    entrypoint: pb::HostedEntrypoint,
    violations: &mut Violations,
) -> EntrypointDescription {
    let mut checked = |part: &str, text: &str| {
        if text.is_empty() {
            violations.push(format!("{field}.{part}"), "is required");
        } else if text.len() > MAX_NAME_BYTES {
            violations.push(format!("{field}.{part}"), at_most_bytes());
        }
    };
    checked("name", &entrypoint.name);
    checked("version", &entrypoint.version);
    for (place, version) in entrypoint.accepts.iter().enumerate() {
        checked(&format!("accepts[{place}]"), version);
    }
    if entrypoint.accepts.len() > MAX_ENTRYPOINTS {
        let what = format!("must be at most {MAX_ENTRYPOINTS}");
        violations.push(format!("{field}.accepts"), what);
    }
    let schema = entrypoint
        .input_schema
        .as_ref()
        .map(value::read)
        .transpose();
    let input_schema = schema.unwrap_or_else(|why| {
        violations.push(format!("{field}.input_schema"), why);
        None
    });
    let mut described = EntrypointDescription::new(entrypoint.name, entrypoint.version);
    described.accepts = entrypoint.accepts.into_iter().map(Into::into).collect();
    described.description = entrypoint.description;
    if let Some(schema) = &input_schema {
        match schema::check(schema) {
            Ok(check) => described.check_with(check),
            Err(why) => {
                let why = format!("of `{}` {why}", described.name);
                violations.push(format!("{field}.input_schema"), why);
            }
        }
    }
    described.input_schema = input_schema;
    described.is_strict = entrypoint.strict;
    let output_ttl = decode::optional_duration("output_ttl", entrypoint.output_ttl);
    described.cache_ttl = output_ttl.unwrap_or_else(|_| {
        violations.push(format!("{field}.output_ttl"), "must not be negative");
        None
    });
    described
}

fn at_most_bytes() -> String {
    format!("must have at most {MAX_NAME_BYTES} bytes")
}

#[cfg(test)]
mod tests {
    use weft_worker::{json, wire::encode};

    use super::*;

    fn entrypoint(name: &str) -> pb::HostedEntrypoint {
        pb::HostedEntrypoint {
            name: name.to_owned(),
            version: "1".to_owned(),
            ..pb::HostedEntrypoint::default()
        }
    }

    #[test]
    fn everything_that_is_wrong_with_a_worker_is_told_at_once() {
        let broken = pb::HostedEntrypoint {
            input_schema: Some(encode::payload(&json::from_text("{\"type\": 7}").unwrap())),
            ..entrypoint("chat")
        };
        let hello = pb::Hello {
            protocol: 2,
            max_runs: -1,
            entrypoints: vec![broken, entrypoint("")],
            ..pb::Hello::default()
        };
        let violations = new_worker(hello, |name| name == "chat").unwrap_err();
        let fields: Vec<_> = violations
            .iter()
            .map(|violation| &*violation.field)
            .collect();
        assert_eq!(
            fields,
            [
                "hello.protocol",
                "hello.max_runs",
                "hello.entrypoints[0].name",
                "hello.entrypoints[0].input_schema",
                "hello.entrypoints[1].name"
            ]
        );
    }

    #[test]
    fn a_worker_is_known_by_what_it_says() {
        let hello = pb::Hello {
            protocol: PROTOCOL,
            max_runs: 3,
            entrypoints: vec![pb::HostedEntrypoint {
                accepts: vec!["0".to_owned()],
                ..entrypoint("report")
            }],
            ..pb::Hello::default()
        };
        let worker = new_worker(hello, |_| false).unwrap();
        assert_eq!((&*worker.name, worker.max_runs), ("without a name", 3));
        assert_eq!(&*worker.hosted[0].accepts[0], "0");
    }
}
