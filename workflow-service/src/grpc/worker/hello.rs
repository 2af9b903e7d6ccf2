//! Who connects.

use service_runtime::{Tenant, Violations};
use weft_proto::{common::v1::Payload, workflow::v1 as pb};
use weft_worker::{
    EntrypointDescription, Json, TaskDescription,
    wire::{PROTOCOL, decode},
};

use super::{schema, value};
use crate::engine::NewWorker;

/// Longest name or version, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Longest name of a task: calls of it ask for `task/` and that.
const MAX_TASK_BYTES: usize = MAX_NAME_BYTES - "task/".len();
/// Most entrypoints of one worker, tasks that it offers, and versions that an entrypoint accepts.
const MAX_ENTRYPOINTS: usize = 1000;

/// The worker of `tenant` that says Hello. `built_in` says which names of entrypoints are the
/// service's own.
pub(super) fn new_worker(
    hello: pb::Hello,
    tenant: Tenant,
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
    let mut most = |field: &str, number: i32| {
        u32::try_from(number).unwrap_or_else(|_| {
            violations.push(format!("hello.{field}"), "must not be negative");
            0
        })
    };
    let max_runs = most("max_runs", hello.max_runs);
    let max_tasks = most("max_tasks", hello.max_tasks);
    if hello.entrypoints.is_empty() && hello.tasks.is_empty() {
        let what = "must have an entrypoint, or `hello.tasks` a task";
        violations.push("hello.entrypoints", what);
    }
    if hello.entrypoints.len() > MAX_ENTRYPOINTS {
        let what = format!("must be at most {MAX_ENTRYPOINTS}");
        violations.push("hello.entrypoints", what);
    }
    if hello.tasks.len() > MAX_ENTRYPOINTS {
        let what = format!("must be at most {MAX_ENTRYPOINTS}");
        violations.push("hello.tasks", what);
    }
    for (place, task) in hello.tasks.iter().enumerate().take(MAX_ENTRYPOINTS) {
        let earlier = &mut hello.tasks.iter().take(place);
        if earlier.any(|other| other.name == task.name && other != task) {
            let what = format!("`{}` is described twice, and not the same", task.name);
            violations.push(format!("hello.tasks[{place}].name"), what);
        }
    }
    for (place, one) in hello.entrypoints.iter().enumerate().take(MAX_ENTRYPOINTS) {
        let earlier = &mut hello.entrypoints.iter().take(place);
        let is_same = |other: &pb::HostedEntrypoint| {
            (&other.name, &other.version) == (&one.name, &one.version)
        };
        if earlier.any(|other| is_same(other) && other != one) {
            let what = format!(
                "`{}` of version `{}` is described twice, and not the same",
                one.name, one.version
            );
            violations.push(format!("hello.entrypoints[{place}].name"), what);
        }
    }
    let offered = (0..).zip(hello.tasks).take(MAX_ENTRYPOINTS);
    let offered = offered
        .map(|(place, task)| offered_task(&format!("hello.tasks[{place}]"), task, &mut violations))
        .collect();
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
        tenant,
        hosted,
        max_runs,
        offered,
        max_tasks,
    };
    violations.into_result(worker)
}

fn described(
    field: &str,
    entrypoint: pb::HostedEntrypoint,
    violations: &mut Violations,
) -> EntrypointDescription {
    check_name(format!("{field}.name"), &entrypoint.name, violations);
    check_name(format!("{field}.version"), &entrypoint.version, violations);
    for (place, version) in entrypoint.accepts.iter().enumerate() {
        check_name(format!("{field}.accepts[{place}]"), version, violations);
    }
    if entrypoint.accepts.len() > MAX_ENTRYPOINTS {
        let what = format!("must be at most {MAX_ENTRYPOINTS}");
        violations.push(format!("{field}.accepts"), what);
    }
    let input_schema = format!("{field}.input_schema");
    let input_schema = read_schema(input_schema, entrypoint.input_schema.as_ref(), violations);
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

fn offered_task(field: &str, task: pb::HostedTask, violations: &mut Violations) -> TaskDescription {
    let name = format!("{field}.name");
    check_length(name, &task.name, MAX_TASK_BYTES, violations);
    let mut read = |part: &str, schema: Option<&Payload>| {
        read_schema(format!("{field}.{part}"), schema, violations)
    };
    let input_schema = read("input_schema", task.input_schema.as_ref());
    let output_schema = read("output_schema", task.output_schema.as_ref());
    let mut described = TaskDescription::new(task.name);
    described.description = task.description;
    let schemas = [
        ("input_schema", &input_schema),
        ("output_schema", &output_schema),
    ];
    for (part, schema) in schemas {
        match schema.as_deref().map(schema::check).transpose() {
            Ok(Some(check)) if part == "input_schema" => {
                let no_config = weft_worker::json::null();
                described.check_with(move |input| check(input, &no_config));
            }
            Ok(_) => {}
            Err(why) => {
                let why = format!("of `{}` {why}", described.name);
                violations.push(format!("{field}.{part}"), why);
            }
        }
    }
    described.input_schema = input_schema;
    described.output_schema = output_schema;
    described
}

fn check_name(field: String, name: &str, violations: &mut Violations) {
    check_length(field, name, MAX_NAME_BYTES, violations);
}

fn check_length(field: String, name: &str, most: usize, violations: &mut Violations) {
    if name.is_empty() {
        violations.push(field, "is required");
    } else if name.len() > most {
        violations.push(field, format!("must have at most {most} bytes"));
    }
}

fn read_schema(
    field: String,
    schema: Option<&Payload>,
    violations: &mut Violations,
) -> Option<Json> {
    let schema = schema.map(value::read).transpose();
    schema.unwrap_or_else(|why| {
        violations.push(field, why);
        None
    })
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
        let broken_task = pb::HostedTask {
            name: "x".repeat(MAX_TASK_BYTES + 1),
            output_schema: Some(encode::payload(&json::from_text("[]").unwrap())),
            ..pb::HostedTask::default()
        };
        let hello = pb::Hello {
            protocol: 2,
            max_runs: -1,
            entrypoints: vec![broken, entrypoint("")],
            tasks: vec![broken_task],
            max_tasks: -1,
            ..pb::Hello::default()
        };
        let violations = new_worker(hello, Tenant::default(), |name| name == "chat").unwrap_err();
        let fields: Vec<_> = violations
            .iter()
            .map(|violation| &*violation.field)
            .collect();
        assert_eq!(
            fields,
            [
                "hello.protocol",
                "hello.max_runs",
                "hello.max_tasks",
                "hello.tasks[0].name",
                "hello.tasks[0].output_schema",
                "hello.entrypoints[0].name",
                "hello.entrypoints[0].input_schema",
                "hello.entrypoints[1].name"
            ]
        );
    }

    #[test]
    fn what_is_described_twice_is_the_same_both_times() {
        let task = |description: &str| pb::HostedTask {
            name: "lookup".to_owned(),
            description: description.to_owned(),
            ..pb::HostedTask::default()
        };
        let strict = pb::HostedEntrypoint {
            strict: true,
            ..entrypoint("report")
        };
        let hello = |entrypoints, tasks| pb::Hello {
            protocol: PROTOCOL,
            entrypoints,
            tasks,
            ..pb::Hello::default()
        };
        let same = hello(vec![entrypoint("report"); 2], vec![task("one"); 2]);
        assert!(new_worker(same, Tenant::default(), |_| false).is_ok());
        let other = hello(
            vec![entrypoint("report"), strict],
            vec![task("one"), task("other")],
        );
        let violations = new_worker(other, Tenant::default(), |_| false).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|wrong| &*wrong.field).collect();
        assert_eq!(fields, ["hello.tasks[1].name", "hello.entrypoints[1].name"]);
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
        let worker = new_worker(hello, Tenant::default(), |_| false).unwrap();
        assert_eq!((&*worker.name, worker.max_runs), ("without a name", 3));
        assert_eq!(&*worker.hosted[0].accepts[0], "0");
    }

    #[test]
    fn a_worker_hosts_an_entrypoint_or_offers_a_task() {
        let none = pb::Hello {
            protocol: PROTOCOL,
            ..pb::Hello::default()
        };
        let task = pb::HostedTask {
            name: "lookup".to_owned(),
            ..pb::HostedTask::default()
        };
        let one = pb::Hello {
            tasks: vec![task],
            max_tasks: 5,
            ..none.clone()
        };
        assert!(new_worker(none, Tenant::default(), |_| false).is_err());
        let worker = new_worker(one, Tenant::default(), |_| false).unwrap();
        assert_eq!((&*worker.offered[0].name, worker.max_tasks), ("lookup", 5));
    }
}
