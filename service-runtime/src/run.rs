//! From the command line to the end of the process: what `main` of a service is.

use std::{
    error::Error,
    io::{self, Write as _},
    net::SocketAddr,
    pin::Pin,
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::Parser;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{CommonArgs, Environment, config, metrics, telemetry};

/// Whatever kept a service from starting or serving.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// `EX_USAGE` of sysexits: the command line, the environment or the file is wrong.
const USAGE: u8 = 64;
/// What shells report of a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// How long blocking work may go on after the service has stopped.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// Something to do instead of serving.
pub type Job = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A service as `main` and tests see it: bound first, then served.
pub trait Service: Sized + Send {
    /// Of the binary, e.g. `memory-service`.
    const NAME: &'static str;
    /// Keys and tables of the other service's configuration that are not keys of this one: their
    /// variables may be in the environment.
    const SIBLING_KEYS: &'static [&'static str];
    /// The flags; they serialize as the keys that were given (see [`config::load`]).
    type Args: Parser + Serialize;
    /// The configuration.
    type Config: Serialize + DeserializeOwned + Default;

    /// The flags that every service has.
    fn common(args: &Self::Args) -> &CommonArgs;

    /// The log filter of a configuration.
    fn log_filter(config: &Self::Config) -> &str;

    /// Whether the configuration can be served, as far as that can be told without doing so.
    ///
    /// # Errors
    /// One sentence that names the flag and the fix.
    fn check(config: &Self::Config) -> Result<(), BoxError>;

    /// What the command line asks for instead of serving, if it does.
    fn job(args: &Self::Args, config: &Self::Config) -> Option<Job> {
        let _ = (args, config);
        None
    }

    /// Takes the sockets and opens the stores. Nothing is served yet, but callers can connect.
    fn bind(config: Self::Config) -> impl Future<Output = Result<Self, BoxError>> + Send;

    /// Where gRPC will be served.
    fn grpc_addr(&self) -> SocketAddr;

    /// Where admin HTTP will be served.
    fn admin_addr(&self) -> SocketAddr;

    /// Serves until `shutdown` is done, then drains and closes everything.
    fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// Runs a service as the process it is in; `main` returns what this returns.
///
/// Exits with 0 after SIGTERM or SIGINT and a drain, 130 at once after a second one, 64 if flags
/// or configuration are wrong, 1 if the service cannot start or fails. Once it is bound, one
/// line of JSON on stdout tells its addresses. Everything else goes to stderr.
#[must_use]
pub fn run<S: Service>() -> ExitCode {
    let args = match S::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = error.print();
            return if error.use_stderr() {
                USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let common = S::common(&args);
    let config = match configure::<S>(&args) {
        Ok(config) => config,
        Err(error) => return fail::<S>(&*error, USAGE.into()),
    };
    if common.dump_config {
        return match config::dump(&config).map(|toml| print(&toml)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail::<S>(&error, ExitCode::FAILURE),
        };
    }
    if common.check_config {
        return ExitCode::SUCCESS;
    }
    match start::<S>(&config) {
        Ok(runtime) => {
            let code = match S::job(&args, &config) {
                Some(job) => match runtime.block_on(job) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => fail::<S>(&*error, ExitCode::FAILURE),
                },
                None => runtime.block_on(Box::pin(live::<S>(config))),
            };
            runtime.shutdown_timeout(BLOCKING_GRACE);
            code
        }
        Err(error) => fail::<S>(&*error, ExitCode::FAILURE),
    }
}

fn configure<S: Service>(args: &S::Args) -> Result<S::Config, BoxError> {
    let environment = Environment::new(S::SIBLING_KEYS);
    let file = S::common(args)
        .config
        .clone()
        .or_else(|| environment.config_file());
    let config: S::Config = config::load(args, file.as_deref(), &environment)?;
    telemetry::check_filter(S::log_filter(&config))?;
    S::check(&config)?;
    Ok(config)
}

/// What the process has one of: TLS, logs, metrics, threads, and what signals do to it.
fn start<S: Service>(config: &S::Config) -> Result<Runtime, BoxError> {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    telemetry::init(S::log_filter(config))?;
    metrics::install();
    // With one worker, whatever blocks it would also block health checks.
    let workers = thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    runtime.block_on(async { outlive_file_limit() })?;
    Ok(runtime)
}

/// Lets a write fail, as on a full disk, that would make a file larger than `ulimit -f` allows. By
/// default the signal that comes with it ends the process. Nobody needs to hear it: once somebody has
/// listened, it stays harmless.
fn outlive_file_limit() -> io::Result<()> {
    signal(SignalKind::from_raw(libc::SIGXFSZ)).map(drop)
}

async fn live<S: Service>(config: S::Config) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail::<S>(&error, ExitCode::FAILURE),
    };
    let bound = tokio::select! {
        bound = S::bind(config) => bound,
        () = signals.next() => return ExitCode::SUCCESS,
    };
    let service = match bound {
        Ok(service) => service,
        Err(error) => return fail::<S>(&*error, ExitCode::FAILURE),
    };
    announce(&service);

    let shutdown = CancellationToken::new();
    let stopping = async {
        signals.next().await;
        shutdown.cancel();
        signals.next().await;
    };
    tokio::select! {
        served = service.serve(shutdown.cancelled()) => match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail::<S>(&*error, ExitCode::FAILURE),
        },
        () = stopping => {
            tracing::warn!("second signal: exiting without a drain");
            INTERRUPTED.into()
        }
    }
}

fn announce<S: Service>(service: &S) {
    let line = json!({
        "service": S::NAME,
        "grpc": service.grpc_addr(),
        "admin": service.admin_addr(),
    });
    print(&format!("{line}\n"));
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        tracing::warn!(%error, "cannot write to stdout");
    }
}

/// One sentence on stderr, with all that led to it.
fn fail<S: Service>(error: &(dyn Error + 'static), code: ExitCode) -> ExitCode {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let sentence = causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"));
    let _ = writeln!(io::stderr(), "{}: {sentence}", S::NAME);
    code
}

/// What ends the process: SIGTERM from its supervisor, SIGINT from a person at the keyboard.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
