//! A killed process loses no acknowledged write, and leaves none half done.
//!
//! `WEFT_TEST_KILLS` says how often it is killed, `WEFT_TEST_SEED` when.
//!
//! # Layout
//! - `service`: the process that is killed
//! - `load`: what is written until then, and what came of it
//! - `verify`: whether that is what is stored, whatever it is asked for by

mod load;
mod service;
mod verify;

use std::{env, time::Duration};

use tempfile::TempDir;
use tokio::time::timeout;

use self::{
    load::{Load, Log},
    service::{Service, spawn},
};
use crate::embedder::Embedder;

/// How often processes are killed, all folders together, unless the environment says otherwise.
const KILLS: u64 = 200;
/// Folders that are served, and their processes killed, beside each other.
const FOLDERS: u64 = 4;
/// Acknowledged writes of one process before it is killed, at most.
const WRITES: u64 = 40;
/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Waits for what must come; if it does not, the test says what it waited for.
async fn within<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let awaited = timeout(LONG, awaited).await;
    awaited.unwrap_or_else(|_| panic!("waited {LONG:?} in vain for {what}"))
}

fn number(variable: &str, default: u64) -> u64 {
    let given = env::var(variable).ok();
    given.map_or(default, |text| text.parse().unwrap())
}

/// Numbers that follow no order (a linear congruential generator).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        let multiplied = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = multiplied.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn is_one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// A folder whose processes are killed one after the other.
struct Victim<'a> {
    folder: TempDir,
    log: Log,
    random: Random,
    /// In turns, what it is indexed with is replaced by the other one.
    embedders: [&'a Embedder; 2],
    /// What a start takes, so that kills are spread over all of it.
    start: Duration,
    kills: u64,
}

impl Victim<'_> {
    /// Which embedder it is to be indexed with. With each change everything is indexed anew, beside
    /// writes and kills, or was not yet when it is given up again.
    fn embedder(&self) -> usize {
        usize::from(self.kills / 4 % 2 == 1)
    }

    /// Flags by which many kills hit what takes a small part of the time otherwise.
    fn flags(&mut self) -> Vec<String> {
        let present = self.embedder();
        let mut flags = self.embedders[present].flags("");
        flags.extend(self.embedders[1 - present].flags("former-"));
        let flush = match self.random.below(3) {
            0 => [].as_slice(),
            1 => &["--sync-interval=5ms"],
            _ => &["--sync=always"],
        };
        // What gives removed items' room back.
        let anew = match self.random.below(2) {
            0 => "--optimise-from=0",
            _ => "--optimise-from=1",
        };
        let further = flush.iter().chain([&anew]);
        flags.extend(further.map(|flag| (*flag).to_owned()));
        flags
    }

    /// Starts a process, looks whether everything is there that has to be, writes, and kills it.
    async fn kill(&mut self) {
        let flags = self.flags();
        if self.random.is_one_in(4) {
            return self.kill_while_it_starts(&flags).await;
        }
        let service = Service::start(self.folder.path(), &flags).await;
        verify::all(&service, &self.log, &mut self.random).await;
        let mut load = Load::start(&service, &self.log, self.kills);
        load.acknowledged(self.random.below(WRITES)).await;
        load.expect_the_end();
        service.kill().await;
        load.end().await;
        self.kills += 1;
    }

    /// Kills it while it does again what the last one did not finish.
    async fn kill_while_it_starts(&mut self, flags: &[String]) {
        let mut process = spawn(self.folder.path(), flags);
        let micros = u64::try_from(self.start.as_micros()).unwrap();
        let moment = Duration::from_micros(self.random.below(micros));
        let ended = timeout(moment, process.wait()).await;
        assert!(ended.is_err(), "it ended by itself: {ended:?}");
        within("a killed process to be gone", process.kill())
            .await
            .unwrap();
        self.kills += 1;
    }
}

async fn kill_often(embedders: [&Embedder; 2], kills: u64, seed: u64) {
    let mut victim = Victim {
        folder: tempfile::tempdir().unwrap(),
        log: Log::default(),
        random: Random(seed),
        embedders,
        start: Duration::ZERO,
        kills: 0,
    };
    let begin = tokio::time::Instant::now();
    let flags = victim.flags();
    let first = Service::start(victim.folder.path(), &flags).await;
    victim.start = begin.elapsed();
    within("the first process to stop", first.stop()).await;
    while victim.kills < kills {
        victim.kill().await;
    }
    let embedder = embedders[victim.embedder()];
    verify::after_the_last_kill(victim.folder.path(), &victim.log, embedder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_no_acknowledged_write_and_leaves_none_half_done() {
    let (one, other) = (Embedder::start().await, Embedder::start_other().await);
    let (kills, seed) = (
        number("WEFT_TEST_KILLS", KILLS),
        number("WEFT_TEST_SEED", 1),
    );
    let folders = (0..FOLDERS).map(|folder| {
        let share = kills / FOLDERS + u64::from(folder < kills % FOLDERS);
        kill_often([&one, &other], share, seed + folder)
    });
    futures::future::join_all(folders).await;
}
