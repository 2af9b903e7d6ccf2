//! Health, metrics, configuration, `make run`: what whoever operates the services relies on.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Output},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster, Process, Refusal,
    cluster::{MEMORY, WORKFLOW},
    conversation::INTRODUCTION,
    http,
    memories::Memories,
    process::{Launch, Signal, signal, tail},
    runs::invoke,
    within,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;
use weft_proto::{memory::v1::GetItemRequest, workflow::v1::ListEntrypointsRequest};

/// What `make run` starts, on free ports.
pub(crate) struct Running {
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl Running {
    /// Ends it, as `kill` does.
    pub(crate) async fn end(&mut self) -> Result<()> {
        signal(&self.child, Signal::Terminate).await?;
        let status = self.ended().await?;
        ensure!(status.success(), "{status}: {}", tail(&self.log()));
        Ok(())
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(within("`make run` to end", self.child.wait()).await??)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// Starts what `make run` starts: that, and what it says once both services are ready.
pub(crate) async fn make_run() -> Result<(Running, String)> {
    let folder = TempDir::with_prefix("weft-")?;
    let launch = Launch::isolated("run", &folder.path().join("log"))
        .variable("WEFT_LISTEN", "127.0.0.1:0")
        .variable("WEFT_ADMIN_LISTEN", "127.0.0.1:0")
        .variable("WEFT_DATA_DIR", folder.path());
    let mut child = launch.command()?.spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut welcome = String::new();
    while !welcome.contains("Ctrl-C") {
        let line = within("`make run` to be ready", stdout.next_line()).await??;
        welcome += &line.with_context(|| tail(&folder.path().join("log")))?;
        welcome.push('\n');
    }
    Ok((
        Running {
            child,
            _stdout: stdout,
            folder,
        },
        welcome,
    ))
}

/// Runs a service to its end.
async fn run(launch: &Launch) -> Result<Output> {
    let mut command = launch.command()?;
    command.stderr(std::process::Stdio::piped());
    Ok(within("the service to end", command.output()).await??)
}

/// A service that takes free ports and keeps its data in `folder`.
fn launch(binary: &'static str, folder: &Path) -> Launch {
    Launch::isolated(binary, &folder.join("log"))
        .flag("--listen", "127.0.0.1:0")
        .flag("--admin-listen", "127.0.0.1:0")
        .flag("--data-dir", folder)
}

fn sentence(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned()
}

#[tokio::test]
async fn make_run_serves_both_until_it_is_asked_to_end() -> Result<()> {
    for asked in [Signal::Interrupt, Signal::Terminate] {
        let (mut running, welcome) = make_run().await?;
        assert!(
            welcome.contains(MEMORY) && welcome.contains(WORKFLOW),
            "{welcome}"
        );
        signal(&running.child, asked).await?;
        assert!(running.ended().await?.success(), "{}", tail(&running.log()));
        let log = fs::read_to_string(running.log())?;
        assert_eq!(log.matches(r#""message":"stopped""#).count(), 2, "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn make_run_says_why_a_service_does_not_start() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let run_it = Launch::isolated("run", &folder.path().join("log"))
        .variable("WEFT_LISTEN", &address)
        .variable("WEFT_ADMIN_LISTEN", "127.0.0.1:0")
        .variable("WEFT_DATA_DIR", folder.path());
    let output = run(&run_it).await?;
    assert_eq!(output.status.code(), Some(1));
    let said = sentence(&output);
    assert!(
        said.contains(&address) && said.contains("--listen"),
        "{said}"
    );
    assert!(
        said.contains("memory-service ended before it listened"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn the_demo_ends_well() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let output = run(&Launch::isolated("demo", &folder.path().join("log"))).await?;
    assert!(output.status.success(), "{}", sentence(&output));
    let printed = String::from_utf8(output.stdout)?;
    for part in [
        "thread 1",
        "thread 2",
        "thread 3",
        INTRODUCTION.text,
        "Your name is Bob",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    Ok(())
}

#[tokio::test]
async fn health_is_told_by_service_and_for_the_whole() -> Result<()> {
    let cluster = Cluster::start().await?;
    for (process, names) in [
        (cluster.memory()?, vec!["", "weft.memory.v1.MemoryService"]),
        (
            cluster.workflow()?,
            vec![
                "",
                "weft.workflow.v1.WorkflowService",
                "weft.workflow.v1.ThreadService",
            ],
        ),
    ] {
        let mut client = HealthClient::new(process.channel()?);
        for name in names {
            let request = HealthCheckRequest {
                service: name.to_owned(),
            };
            let answer = client.check(request).await?.into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
        }
        let unknown = HealthCheckRequest {
            service: "nobody".to_owned(),
        };
        assert_eq!(
            client.check(unknown).await.map_err(|s| s.code()).err(),
            Some(Code::NotFound)
        );
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(
                http::get(process.admin(), path).await?.status,
                200,
                "{path}"
            );
        }
    }
    cluster.finish().await
}

#[tokio::test]
async fn metrics_count_the_calls() -> Result<()> {
    let cluster = Cluster::start().await?;
    invoke(&mut cluster.workflow_client()?, INTRODUCTION.to_run()).await?;
    for (process, method) in [
        (cluster.memory()?, "PutItem"),
        (cluster.workflow()?, "InvokeRun"),
    ] {
        let metrics = http::get(process.admin(), "/metrics").await?.body;
        let counted = metrics.lines().any(|line| {
            line.starts_with("grpc_server_handled_total{")
                && line.contains(&format!(r#"grpc_method="{method}""#))
                && line.contains(r#"grpc_code="OK""#)
                && line.ends_with(" 1")
        });
        assert!(counted, "{method}: {metrics}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_a_callers_own_is_kept() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let response = client.list_entrypoints(ListEntrypointsRequest {}).await?;
    let id = response
        .metadata()
        .get("x-request-id")
        .context("no request id")?;
    Uuid::parse_str(id.to_str()?)?;

    let own = "0198a2c4-1111-7000-8000-000000000003";
    let mut request = tonic::Request::new(ListEntrypointsRequest {});
    request.metadata_mut().insert("x-request-id", own.parse()?);
    let response = client.list_entrypoints(request).await?;
    assert_eq!(
        response.metadata().get("x-request-id").context("none")?,
        own
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_method_that_a_service_does_not_have_is_named() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = Memories::new(cluster.workflow()?.channel()?);
    let refusal = Refusal::of(client.get_item(GetItemRequest::default()).await)?;
    let refusal = refusal.is(Code::Unimplemented, "METHOD_UNKNOWN")?;
    assert!(
        refusal
            .message()
            .contains("weft.memory.v1.MemoryService/GetItem"),
        "{refusal:?}"
    );
    cluster.finish().await
}

#[tokio::test]
async fn flags_win_over_the_environment_over_the_file_over_defaults() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let file = folder.path().join("weft.toml");
    fs::write(
        &file,
        "log = \"debug\"\nlisten = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:1\"\n",
    )?;
    for binary in [MEMORY, WORKFLOW] {
        let dump = Launch::isolated(binary, &folder.path().join("log"))
            .flag("--config", &file)
            .flag("--listen", "127.0.0.1:3")
            .variable("WEFT_LISTEN", "127.0.0.1:2")
            .variable("WEFT_ADMIN_LISTEN", "127.0.0.1:2")
            .argument("--dump-config");
        let output = run(&dump).await?;
        assert!(output.status.success(), "{}", sentence(&output));
        let dumped = String::from_utf8(output.stdout)?;
        for line in [
            r#"listen = "127.0.0.1:3""#,
            r#"admin_listen = "127.0.0.1:2""#,
            r#"log = "debug""#,
            r#"drain_timeout = "25s""#,
        ] {
            assert!(dumped.lines().any(|each| each == line), "{line}: {dumped}");
        }

        let again = folder.path().join("dumped.toml");
        fs::write(&again, &dumped)?;
        let check = Launch::isolated(binary, &folder.path().join("log"))
            .flag("--config", &again)
            .argument("--check-config");
        let output = run(&check).await?;
        assert!(
            output.status.success() && output.stdout.is_empty(),
            "{}",
            sentence(&output)
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_configuration_is_told_in_one_sentence() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let file = folder.path().join("weft.toml");
    fs::write(&file, "data_dri = \"x\"\n")?;
    let file = file.to_string_lossy().into_owned();
    for binary in [MEMORY, WORKFLOW] {
        let start = || launch(binary, folder.path());
        for (wrong, named) in [
            (
                start().flag("--config", &file),
                vec!["data_dri", "data_dir", file.as_str()],
            ),
            (
                start().flag("--config", "nowhere.toml"),
                vec!["nowhere.toml"],
            ),
            (
                start().variable("WEFT_DATA_DRI", "x"),
                vec!["WEFT_DATA_DRI", "WEFT_DATA_DIR"],
            ),
            (
                start().variable("WEFT_SERVER__DRAIN_TIMEOUT", "soon"),
                vec!["WEFT_SERVER__DRAIN_TIMEOUT", "soon"],
            ),
            (start().flag("--log", "lou[d"), vec!["lou[d"]),
        ] {
            let output = run(&wrong).await?;
            assert_eq!(output.status.code(), Some(64), "{wrong:?}");
            let said = sentence(&output);
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(
                named.iter().all(|name| said.contains(name)),
                "{named:?}: {said}"
            );
        }
        let output = run(&start().argument("--data-dri")).await?;
        assert_eq!(output.status.code(), Some(64));
        assert!(
            sentence(&output).contains("--data-dir"),
            "{}",
            sentence(&output)
        );
    }
    Ok(())
}

#[tokio::test]
async fn check_config_refuses_what_a_start_refuses() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    for (binary, flag, value) in [
        (MEMORY, "--qdrant-url", "http://127.0.0.1:6334"),
        (MEMORY, "--embedder", "telepathy"),
        (MEMORY, "--index-paths", "a..b"),
        (WORKFLOW, "--default-model", "nobody:x"),
        (WORKFLOW, "--memory-url", "http://a b"),
    ] {
        for check in [false, true] {
            let mut start = launch(binary, folder.path()).flag(flag, value);
            if check {
                start = start.argument("--check-config");
            }
            let output = run(&start).await?;
            let said = sentence(&output);
            assert_eq!(output.status.code(), Some(64), "{flag} {value}: {said}");
            assert!(
                said.contains(value) || said.contains(flag),
                "{flag} {value}: {said}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn both_services_can_share_one_environment() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let dumps = [MEMORY, WORKFLOW].map(|binary| {
        Launch::isolated(binary, &folder.path().join("log")).argument("--dump-config")
    });
    let mut keys = Vec::new();
    for dump in &dumps {
        let output = run(dump).await?;
        let dumped = String::from_utf8(output.stdout)?;
        let of_its_own = dumped.lines().take_while(|line| !line.starts_with('['));
        keys.extend(of_its_own.filter_map(|line| {
            let (key, value) = line.split_once(" = ")?;
            Some((
                format!("WEFT_{}", key.to_uppercase()),
                value.trim_matches('"').to_owned(),
            ))
        }));
    }
    assert!(keys.len() > 8, "{keys:?}");
    // Empty ones are unset ones; lists are written otherwise.
    keys.retain(|(_, value)| !value.is_empty() && !value.starts_with('['));
    for dump in dumps {
        let shared = keys
            .iter()
            .fold(dump, |dump, (name, value)| dump.variable(name, value));
        let output = run(&shared).await?;
        assert!(output.status.success(), "{}", sentence(&output));
    }
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_changes_it() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for binary in [MEMORY, WORKFLOW] {
        for flag in ["--listen", "--admin-listen"] {
            let any = if flag == "--listen" {
                "--admin-listen"
            } else {
                "--listen"
            };
            let start = Launch::isolated(binary, &folder.path().join("log"))
                .flag("--data-dir", folder.path())
                .flag(any, "127.0.0.1:0")
                .flag(flag, &address);
            let output = run(&start).await?;
            assert_eq!(output.status.code(), Some(1));
            let said = sentence(&output);
            assert!(
                said.contains(&address) && said.contains(&format!("`{flag}`")),
                "{said}"
            );
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_data_folder_in_use_is_refused_by_name() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    for binary in [MEMORY, WORKFLOW] {
        let start = launch(binary, folder.path());
        let first = Process::start(&start).await?;
        let output = run(&start).await?;
        assert_eq!(output.status.code(), Some(1));
        let said = sentence(&output);
        assert!(said.contains(&*folder.path().to_string_lossy()), "{said}");
        assert!(said.contains("use"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        first.terminate().await?;
    }
    Ok(())
}
