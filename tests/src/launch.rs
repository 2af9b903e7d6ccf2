//! How services are started.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::{binary, within};

/// How to start a service.
#[derive(Clone, Debug)]
pub struct Launch {
    binary: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    /// `None` shares standard error with this program.
    log: Option<PathBuf>,
    /// Whether variables of this program that begin with `WEFT_` reach the service.
    inherits_configuration: bool,
}

impl Launch {
    /// `binary`, configured by this program's environment, logging to this program's standard
    /// error, and out of reach of the terminal's Ctrl-C.
    #[must_use]
    pub fn inheriting(binary: &'static str) -> Self {
        Self {
            binary,
            arguments: Vec::new(),
            environment: Vec::new(),
            log: None,
            inherits_configuration: true,
        }
    }

    /// `binary`, configured by what is said here alone, logging to the end of the file `log`.
    #[must_use]
    pub fn isolated(binary: &'static str, log: &Path) -> Self {
        Self {
            log: Some(log.to_owned()),
            inherits_configuration: false,
            ..Self::inheriting(binary)
        }
    }

    /// Name of the binary.
    #[must_use]
    pub fn binary(&self) -> &str {
        self.binary
    }

    /// The file that is logged to, if it is one.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds a flag and its value.
    #[must_use]
    pub fn flag(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.argument(name).argument(value)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The command, with its standard output piped.
    ///
    /// # Errors
    /// If the binary is not built, or the log cannot be written.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(binary::find(self.binary)?);
        if self.inherits_configuration {
            // Ctrl-C reaches every process of the terminal's group: services that a person runs
            // are ended by whoever started them, in order.
            command.process_group(0);
        } else {
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("WEFT_") {
                    command.env_remove(name);
                }
            }
        }
        if let Some(path) = &self.log {
            let log = File::options().create(true).append(true).open(path);
            command.stderr(log.with_context(|| format!("cannot write `{}`", path.display()))?);
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs the service to its end.
    ///
    /// # Errors
    /// If it cannot be started, or does not end in time.
    pub async fn output(&self) -> Result<Output> {
        let mut command = self.command()?;
        command.stderr(Stdio::piped());
        Ok(within("the service to end", command.output()).await??)
    }
}

/// What a service that ended said on standard error.
#[must_use]
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned()
}

/// The end of a log.
#[must_use]
pub fn tail(log: &Path) -> String {
    const LINES: usize = 60;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
