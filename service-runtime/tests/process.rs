//! `run` as a process: what it prints, how it exits, and what signals do to it.
//!
//! Has no test harness, so that this binary can also be the service that it tests.

#![expect(
    clippy::unwrap_used,
    reason = "a promise that is not kept ends the test"
)]
#![expect(clippy::print_stdout, reason = "reports as the test harness does")]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, ExitCode, Output, Stdio},
};

use serde::{Deserialize, Serialize};
use service_runtime::{BoxError, CommonArgs, Listeners, Server, ServerSettings, Service, run};

/// Set for the process that is the service.
const CHILD: &str = "WEFT_TEST_CHILD";

fn main() -> ExitCode {
    if env::var_os(CHILD).is_some() {
        return run::<Empty>();
    }
    let promises: [(&str, fn()); 7] = [
        (
            "help_is_an_answer_and_a_wrong_flag_is_not",
            help_is_an_answer_and_a_wrong_flag_is_not,
        ),
        (
            "a_wrong_configuration_is_one_sentence_and_exit_code_64",
            a_wrong_configuration_is_one_sentence_and_exit_code_64,
        ),
        (
            "a_dump_shows_what_would_be_used",
            a_dump_shows_what_would_be_used,
        ),
        (
            "an_address_in_use_is_one_sentence_and_exit_code_1",
            an_address_in_use_is_one_sentence_and_exit_code_1,
        ),
        (
            "addresses_are_told_in_one_line_and_sigterm_ends_in_peace",
            addresses_are_told_in_one_line_and_sigterm_ends_in_peace,
        ),
        (
            "a_second_signal_exits_at_once",
            a_second_signal_exits_at_once,
        ),
        (
            "the_signal_of_a_file_that_may_not_grow_ends_nothing",
            the_signal_of_a_file_that_may_not_grow_ends_nothing,
        ),
    ];
    for (name, promise) in promises {
        promise();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

/// A service that only knows how it is.
struct Empty {
    server: Server,
    grpc: SocketAddr,
    admin: SocketAddr,
}

#[derive(clap::Parser, Serialize)]
struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    common: CommonArgs,
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    listen: SocketAddr,
    admin_listen: SocketAddr,
    log: String,
    server: ServerSettings,
}

impl Default for Config {
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = ServerSettings::default();
        Self {
            listen: any,
            admin_listen: any,
            log: "info".to_owned(),
            server,
        }
    }
}

impl Service for Empty {
    const NAME: &'static str = "empty-service";
    const SIBLING_KEYS: &'static [&'static str] = &[];
    type Args = Args;
    type Config = Config;

    fn common(args: &Args) -> &CommonArgs {
        &args.common
    }

    fn log_filter(config: &Config) -> &str {
        &config.log
    }

    fn check(_: &Config) -> Result<(), BoxError> {
        Ok(())
    }

    async fn bind(config: Config) -> Result<Self, BoxError> {
        let listeners = Listeners::bind(config.listen, config.admin_listen).await?;
        let (grpc, admin) = (listeners.grpc_addr(), listeners.admin_addr());
        Ok(Self {
            server: Server::new(Self::NAME, listeners, &config.server),
            grpc,
            admin,
        })
    }

    fn grpc_addr(&self) -> SocketAddr {
        self.grpc
    }

    fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), BoxError> {
        self.server.readiness().set_ready();
        Ok(self.server.serve(shutdown).await?)
    }
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env_clear().env(CHILD, "1").args(flags);
    command
}

fn output(flags: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(flags)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A service that has told its addresses.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    grpc: SocketAddr,
    line: serde_json::Value,
}

fn start(environment: &[(&str, &str)]) -> Running {
    let mut child = command(&[])
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let grpc = line["grpc"].as_str().unwrap().parse().unwrap();
    Running {
        child,
        stdout,
        grpc,
        line,
    }
}

impl Running {
    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Its exit code, and what it wrote after its addresses.
    fn end(mut self) -> (i32, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        (self.child.wait().unwrap().code().unwrap(), out, err)
    }
}

fn help_is_an_answer_and_a_wrong_flag_is_not() {
    let (code, out, err) = output(&["--help"], &[]);
    assert!(
        code == 0 && out.contains("--admin-listen") && err.is_empty(),
        "{out}{err}"
    );
    let (code, out, err) = output(&["--listne", "x"], &[]);
    assert!(
        code == 64 && out.is_empty() && err.contains("--listen"),
        "{code}: {err}"
    );
}

fn a_wrong_configuration_is_one_sentence_and_exit_code_64() {
    for flags in [&[][..], &["--check-config"], &["--dump-config"]] {
        for (variable, told) in [
            (("WEFT_LISTNE", "127.0.0.1:0"), "`WEFT_LISTEN`"),
            (("WEFT_LOG", "a=b=c"), "`a=b=c`"),
            (("WEFT_CONFIG", "no-such-file.toml"), "`no-such-file.toml`"),
        ] {
            let (code, out, err) = output(flags, &[variable]);
            assert!(code == 64 && out.is_empty(), "{code}: {out}");
            assert!(
                err.starts_with("empty-service: ") && err.contains(told),
                "{err}"
            );
            assert_eq!(err.lines().count(), 1, "{err}");
        }
    }
    let (code, out, err) = output(&["--check-config"], &[]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
}

fn a_dump_shows_what_would_be_used() {
    let flags = ["--dump-config", "--listen", "127.0.0.1:7"];
    let (code, out, err) = output(&flags, &[("WEFT_SERVER__DRAIN_TIMEOUT", "3s")]);
    assert!(code == 0 && err.is_empty(), "{err}");
    assert!(out.contains("listen = \"127.0.0.1:7\"\n") && out.contains("drain_timeout = \"3s\"\n"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weft.toml");
    std::fs::write(&file, &out).unwrap();
    let again = output(&["--dump-config", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(again, (0, out, String::new()));
}

fn an_address_in_use_is_one_sentence_and_exit_code_1() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    let (code, out, err) = output(&["--listen", &taken.to_string()], &[("WEFT_LOG", "off")]);
    assert!(code == 1 && out.is_empty(), "{code}: {out}");
    assert!(
        err.contains(&format!("`{taken}`")) && err.contains("`--listen`"),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
    drop(held);
}

fn addresses_are_told_in_one_line_and_sigterm_ends_in_peace() {
    for signal in ["-TERM", "-INT"] {
        let running = start(&[]);
        assert_eq!(running.line["service"], "empty-service");
        for address in ["grpc", "admin"] {
            let address = running.line[address].as_str().unwrap();
            assert!(TcpStream::connect(address).is_ok(), "{address}");
        }
        running.signal(signal);
        let (code, out, err) = running.end();
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        // Nobody watches, so the logs are for machines.
        for line in err.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["level"], "INFO", "{line}");
        }
    }
}

fn a_second_signal_exits_at_once() {
    // A drain that does not end by itself.
    let running = start(&[("WEFT_SERVER__DRAIN_DELAY", "1h")]);
    running.signal("-TERM");
    // Signals of one kind are merged while one is pending, and the second kind is another.
    assert!(TcpStream::connect(running.grpc).is_ok());
    running.signal("-INT");
    let (code, _, err) = running.end();
    assert_eq!(code, 130, "{err}");
}

fn the_signal_of_a_file_that_may_not_grow_ends_nothing() {
    let running = start(&[]);
    running.signal("-XFSZ");
    running.signal("-TERM");
    let (code, _, err) = running.end();
    assert_eq!(code, 0, "{err}");
}
