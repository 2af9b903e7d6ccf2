//! A server with its store in a folder of its own, and clients of it.

use std::{sync::Arc, time::Duration};

use futures::future::join;
use service_runtime::{Listeners, Server, ServerSettings};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;
use weft_proto::{
    common::v1::{Payload, payload::Form},
    workflow::v1::{
        self as pb, InvokeRunRequest, Run, StartRunRequest, WaitRunRequest,
        thread_service_client::ThreadServiceClient, thread_service_server::ThreadServiceServer,
        workflow_service_client::WorkflowServiceClient,
        workflow_service_server::WorkflowServiceServer,
    },
};
use weft_worker::{Context, Entrypoint, Failure, Json, RetryPolicy, Task, TaskContext, Worker};
use workflow_service::{
    engine::{Engine, EngineSettings, Retention, Targets},
    grpc::{Threads, Workflows},
    store::sqlite::SqliteStore,
};

/// A running server.
pub(crate) struct Serving {
    pub(crate) runs: WorkflowServiceClient<Channel>,
    pub(crate) threads: ThreadServiceClient<Channel>,
    address: String,
    stop: CancellationToken,
    server: JoinHandle<()>,
    engine: Engine,
    _folder: TempDir,
}

/// - `save`: returns its input and what was saved before
/// - `ask`: asks two questions at once
/// - `wait`: runs a task that writes to the custom stream, waits until it is cancelled, and fails
/// - `fail`: fails in a task
/// - `sleep`: sleeps for an hour
/// - `patient`: fails, and is tried again after an hour; `stubborn`: a task of it does and is
/// - `stuck`: asks, and does not come to an end once it is answered
/// - `shifty`: records a task and fails, and does not call the task again when it is retried
/// - `chatter`: a task of it writes as many kibibytes to the custom stream as its input says
/// - `late`: as `save`, but its first attempt fails; with an even input after a task was recorded
fn worker() -> Worker {
    let save = Entrypoint::new("save", "1", |context: Context, input: Json| async move {
        let previous: Option<Json> = context.previous()?;
        Ok(weft_worker::Final {
            value: (previous, Arc::clone(&input)),
            saved: input,
        })
    });
    let ask = Entrypoint::new("ask", "1", |context: Context, _: Json| async move {
        let first = context.interrupt::<_, Json>("first?");
        let (first, second) = join(first, context.interrupt::<_, Json>("second?")).await;
        Ok((first?, second?))
    });
    let wait = Entrypoint::new("wait", "1", |context: Context, _: Json| async move {
        let task = Task::new("wait", |task: TaskContext, ()| async move {
            task.write("waiting")?;
            task.cancelled().await;
            Err::<(), _>(Failure::new("STOPPED", "stopped"))
        });
        context.call(&task, ()).await
    });
    let fail = Entrypoint::new("fail", "1", |context: Context, _: Json| async move {
        let task = Task::new("pay", |_: TaskContext, ()| async move {
            Err::<(), _>(Failure::new("CARD_DECLINED", "no money").with("card", "1234"))
        });
        context.call(&task, ()).await
    });
    let late = Entrypoint::new("late", "1", |context: Context, input: u32| async move {
        let previous: Option<Json> = context.previous()?;
        let work = Task::new("work", |_: TaskContext, ()| async move { Ok(()) });
        if input.is_multiple_of(2) {
            context.call(&work, ()).await?;
        }
        let pay = Task::new("pay", |task: TaskContext, ()| async move {
            match task.run_attempt() {
                1 => Err(Failure::new("CARD_DECLINED", "no money")),
                _ => Ok(()),
            }
        });
        context.call(&pay, ()).await?;
        Ok(weft_worker::Final {
            value: (previous, input),
            saved: input,
        })
    });
    states()
        .entrypoint(late)
        .entrypoint(save)
        .entrypoint(ask)
        .entrypoint(wait)
        .entrypoint(fail)
}

/// Entrypoints that come to be in all the states there are.
fn states() -> Worker {
    const HOUR: Duration = Duration::from_secs(3600);
    let away = || Failure::transient("AWAY", "away");
    let sleep = Entrypoint::new("sleep", "1", |context: Context, _: Json| async move {
        context.sleep(HOUR).await
    });
    let patient = Entrypoint::new("patient", "1", move |_: Context, _: Json| async move {
        Err::<(), _>(away())
    })
    .retry(RetryPolicy::exponential(9, HOUR, HOUR));
    let stubborn = Entrypoint::new(
        "stubborn",
        "1",
        move |context: Context, _: Json| async move {
            let task = Task::new("away", move |_: TaskContext, ()| async move {
                Err::<(), _>(away())
            });
            let task = task.retry(RetryPolicy::exponential(9, HOUR, HOUR));
            context.call(&task, ()).await
        },
    );
    let stuck = Entrypoint::new("stuck", "1", |context: Context, _: Json| async move {
        if context.run_attempt() > 1 {
            std::future::pending::<()>().await;
        }
        context.interrupt::<_, Json>("well?").await
    });
    let shifty = Entrypoint::new("shifty", "1", |context: Context, _: Json| async move {
        if context.run_attempt() > 1 {
            return Ok(());
        }
        let task = Task::new("work", |_: TaskContext, ()| async move { Ok(()) });
        context.call(&task, ()).await?;
        Err(Failure::new("BROKEN", "broken"))
    });
    let chatter = Entrypoint::new("chatter", "1", |context: Context, count: u32| async move {
        let task = Task::new("chat", |task: TaskContext, count: u32| async move {
            for _ in 0..count {
                task.write(&"x".repeat(1024))?;
                // Lets the engine read: a full link would drop some.
                tokio::task::yield_now().await;
            }
            Ok(())
        });
        context.call(&task, count).await
    });
    Worker::new()
        .entrypoint(sleep)
        .entrypoint(patient)
        .entrypoint(stubborn)
        .entrypoint(stuck)
        .entrypoint(shifty)
        .entrypoint(chatter)
}

impl Serving {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        let engine = Engine::new(
            store,
            Targets::default(),
            EngineSettings {
                max_runs: 100,
                cancel_grace: Duration::from_millis(200),
                task_wait: Duration::from_millis(200),
                retention: Retention::default(),
            },
        );
        engine.host(worker());
        engine.start();
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners::bind(any, any).await.unwrap();
        let address = format!("http://{}", listeners.grpc_addr());
        let server = Server::new("test", listeners, &ServerSettings::default());
        let workflows = Workflows::new(engine.clone(), server.draining(), Duration::ZERO);
        let server = server
            .add_service(WorkflowServiceServer::new(workflows))
            .add_service(ThreadServiceServer::new(Threads::new(engine.clone())));
        server.readiness().set_ready();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        #[expect(clippy::disallowed_methods, reason = "awaited by `Serving::stop`")]
        let server = tokio::spawn(async move { server.serve(stopped).await.unwrap() });
        let channel = connect(&address).await;
        let runs = WorkflowServiceClient::new(channel.clone());
        let threads = ThreadServiceClient::new(channel);
        Self {
            runs,
            threads,
            address,
            stop,
            server,
            engine,
            _folder: folder,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.server.await.unwrap();
        self.engine.stop().await;
    }

    /// A client with a connection of its own.
    pub(crate) async fn connect(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(connect(&self.address).await)
    }

    /// Starts a run and waits until it rests.
    pub(crate) async fn invoke(&mut self, start: StartRunRequest) -> Run {
        let request = InvokeRunRequest {
            start: Some(start),
            payload_form: TEXT,
        };
        self.runs
            .invoke_run(request)
            .await
            .unwrap()
            .into_inner()
            .run
            .unwrap()
    }

    /// Starts a run.
    pub(crate) async fn begin(&mut self, start: StartRunRequest) -> Run {
        self.runs
            .start_run(start)
            .await
            .unwrap()
            .into_inner()
            .run
            .unwrap()
    }

    /// Waits until a run rests.
    pub(crate) async fn rest(&mut self, run_id: &str) -> Run {
        let request = WaitRunRequest {
            run_id: run_id.to_owned(),
            payload_form: TEXT,
        };
        self.runs
            .wait_run(request)
            .await
            .unwrap()
            .into_inner()
            .run
            .unwrap()
    }
}

async fn connect(address: &str) -> Channel {
    let address = Channel::from_shared(address.to_owned()).unwrap();
    address.connect().await.unwrap()
}

pub(crate) const TEXT: i32 = weft_proto::common::v1::PayloadForm::Text as i32;

pub(crate) fn start(entrypoint: &str, thread: &str, input: &str) -> StartRunRequest {
    StartRunRequest {
        entrypoint: entrypoint.to_owned(),
        thread_id: thread.to_owned(),
        input: Some(json(input)),
        ..StartRunRequest::default()
    }
}

pub(crate) fn json(text: &str) -> Payload {
    Payload {
        form: Some(Form::JsonText(text.to_owned())),
    }
}

pub(crate) fn text(payload: Option<&Payload>) -> &str {
    match payload.and_then(|payload| payload.form.as_ref()) {
        Some(Form::JsonText(text)) => text,
        other => panic!("the payload is no text: {other:?}"),
    }
}

/// Checks code and reason of a refusal, and returns the fields it names.
pub(crate) fn refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Vec<String> {
    let status = answer.unwrap_err();
    let details = status.get_error_details();
    let found = details.error_info().map(|info| info.reason.as_str());
    assert_eq!((status.code(), found), (code, Some(reason)), "{status}");
    let violations = details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice());
    violations
        .unwrap_or_default()
        .iter()
        .map(|violation| violation.field.clone())
        .collect()
}

pub(crate) fn state(run: &Run) -> pb::run::State {
    pb::run::State::try_from(run.state).unwrap()
}
