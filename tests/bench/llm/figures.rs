//! What many streams make.

use std::time::Duration;

use crate::{
    cell::{Cell, Pace},
    reading::Heard,
};

/// Figures of a cell.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    firsts: Vec<Duration>,
    delays: Vec<Duration>,
    /// Time in which all of it was read.
    pub(crate) elapsed: Duration,
    /// What the service computed meanwhile.
    pub(crate) cpu: Option<Duration>,
    /// Bytes that a stream holds of the service's memory.
    pub(crate) memory: Option<u64>,
}

impl Figures {
    pub(crate) const HEAD: &str = "streams  a second  read       first token p50, p99 ms   \
                                   token p50, p99 ms   tokens/s   lost %   CPU µs/token   KiB/stream";

    pub(crate) fn add(&mut self, heard: Heard) {
        self.firsts.push(heard.first);
        self.delays.extend(heard.delays);
    }

    pub(crate) fn row(&self, cell: &Cell, how: &str) -> String {
        let Cell { streams, pace, .. } = cell;
        let rate = match pace.rate {
            0 => "all".to_owned(),
            rate => rate.to_string(),
        };
        let (first, token) = (
            percentiles(self.firsts.clone()),
            percentiles(self.delays.clone()),
        );
        let cpu = self.cpu.map_or_else(String::new, |cpu| {
            let each = cpu.as_secs_f64() * 1e6 / self.delays.len() as f64;
            format!("{each:.1}")
        });
        let memory = self
            .memory
            .map_or_else(String::new, |bytes| format!("{:.1}", bytes as f64 / 1024.0));
        let said = self.firsts.len() as f64 * f64::from(pace.tokens);
        format!(
            "{streams:>7}  {rate:>8}  {how:<9}  {:>11.3} {:>11.3}   {:>8.3} {:>8.3}   {:>8.0}   {:>6.1}   {cpu:>12}   {memory:>10}",
            first[0],
            first[1],
            token[0],
            token[1],
            self.delays.len() as f64 / self.elapsed.as_secs_f64(),
            100.0 - self.delays.len() as f64 / said * 100.0,
        )
    }

    /// What it is beside reading directly: what is added, or which part of the tokens comes through
    /// in the same time.
    pub(crate) fn beside(&self, direct: &Self, pace: Pace) -> String {
        if pace.rate == 0 {
            let rate = |figures: &Self| figures.delays.len() as f64 / figures.elapsed.as_secs_f64();
            return format!("{:>77.2} of it", rate(self) / rate(direct));
        }
        let added = |of: fn(&Self) -> Vec<Duration>| {
            let (through, direct) = (percentiles(of(self)), percentiles(of(direct)));
            (through[0] - direct[0], through[1] - direct[1])
        };
        let (first, token) = (
            added(|figures| figures.firsts.clone()),
            added(|figures| figures.delays.clone()),
        );
        format!(
            "                   added      {:>11.3} {:>11.3}   {:>8.3} {:>8.3}",
            first.0, first.1, token.0, token.1
        )
    }
}

/// The median and the 99th of a hundred, in milliseconds.
fn percentiles(mut durations: Vec<Duration>) -> [f64; 2] {
    durations.sort_unstable();
    [50, 99].map(|share| {
        let index = (durations.len() * share / 100).min(durations.len().saturating_sub(1));
        let duration = durations.get(index).copied().unwrap_or_default();
        duration.as_secs_f64() * 1e3
    })
}
