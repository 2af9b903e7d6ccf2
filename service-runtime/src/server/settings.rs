//! The `[server]` section of a configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::human;

/// Limits and times of a server. Durations are written as `30s`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Deadline of calls whose callers send none. On streams, until the answer begins.
    #[serde(with = "human::duration")]
    pub default_deadline: Duration,
    /// Latest deadline that callers can ask for. On streams, until the answer begins.
    #[serde(with = "human::duration")]
    pub max_deadline: Duration,
    /// How long calls are still taken after readiness is off: the time that load balancers
    /// need to notice.
    #[serde(with = "human::duration")]
    pub drain_delay: Duration,
    /// How long calls in flight may take to end after that. Kubernetes kills after 30 s unless
    /// told otherwise.
    #[serde(with = "human::duration")]
    pub drain_timeout: Duration,
    /// Calls in flight; more are refused with RESOURCE_EXHAUSTED.
    pub max_in_flight: usize,
    /// Streams open; more are refused with RESOURCE_EXHAUSTED.
    pub max_streams: usize,
    /// Calls and streams of one connection; the client waits with more.
    pub max_concurrent_streams: u32,
    /// How often a silent connection is asked whether it lives.
    #[serde(with = "human::duration")]
    pub keepalive_interval: Duration,
    /// How long it may take to answer before it is closed.
    #[serde(with = "human::duration")]
    pub keepalive_timeout: Duration,
}

impl ServerSettings {
    /// Refuses settings under which nothing could be served.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        let numbers = [
            ("default_deadline", self.default_deadline.is_zero()),
            ("max_deadline", self.max_deadline.is_zero()),
            ("max_in_flight", self.max_in_flight == 0),
            ("max_streams", self.max_streams == 0),
            ("max_concurrent_streams", self.max_concurrent_streams == 0),
            ("keepalive_interval", self.keepalive_interval.is_zero()),
            ("keepalive_timeout", self.keepalive_timeout.is_zero()),
        ];
        match numbers.iter().find(|(_, is_zero)| *is_zero) {
            Some((key, _)) => Err(format!("`server.{key}` must be more than zero")),
            None => Ok(()),
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            default_deadline: Duration::from_secs(30),
            max_deadline: Duration::from_secs(300),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(25),
            max_in_flight: 1024,
            max_streams: 4096,
            max_concurrent_streams: 256,
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_refused_by_its_key_where_nothing_could_be_served() {
        assert_eq!(ServerSettings::default().check(), Ok(()));
        let settings = ServerSettings {
            max_in_flight: 0,
            ..ServerSettings::default()
        };
        assert!(
            settings
                .check()
                .unwrap_err()
                .contains("`server.max_in_flight`")
        );
    }
}
