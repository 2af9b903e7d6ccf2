//! How much faster than its peers Weft is, and is to be.

use crate::{Cell, System, Table};

/// What is compared.
#[derive(Clone, Copy)]
enum Measure {
    RunsPerSecond,
    Latency,
}

struct Goal {
    cell: Cell,
    measure: Measure,
    /// Of these the best.
    peers: &'static [System],
    /// How many times better than that.
    times: f64,
}

const GOALS: [Goal; 4] = [
    Goal {
        cell: Cell::new(3, 64),
        measure: Measure::RunsPerSecond,
        peers: &[System::Restate],
        times: 5.0,
    },
    Goal {
        cell: Cell::new(3, 64),
        measure: Measure::RunsPerSecond,
        peers: &[System::LangGraphSqlite],
        times: 25.0,
    },
    Goal {
        cell: Cell::new(1, 1),
        measure: Measure::Latency,
        peers: &[System::Restate, System::LangGraphPostgres],
        times: 4.0,
    },
    Goal {
        cell: Cell::new(100, 1),
        measure: Measure::Latency,
        peers: &[System::Restate, System::LangGraphPostgres],
        times: 3.0,
    },
];

impl Goal {
    /// The best peer that was measured, and how many times better than that this system is.
    fn reached(&self, table: &Table, system: System) -> Option<(System, f64)> {
        let measured = |system| table.get(&(self.cell, system));
        let better = |than| {
            let (own, others) = (measured(system)?, measured(than)?);
            Some(match self.measure {
                Measure::RunsPerSecond => own.runs_per_second / others.runs_per_second,
                Measure::Latency => others.p50_ms / own.p50_ms,
            })
        };
        let all = self
            .peers
            .iter()
            .filter_map(|peer| Some((*peer, better(*peer)?)));
        all.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }
}

/// Prints for each goal what was reached.
pub(crate) fn print(table: &Table) {
    println!("times better than the best peer: reached / goal");
    for goal in &GOALS {
        let what = match goal.measure {
            Measure::RunsPerSecond => "runs/s",
            Measure::Latency => "p50",
        };
        for system in [System::WeftWorker, System::WeftHosted] {
            let Cell { tasks, callers } = goal.cell;
            let reached = match goal.reached(table, system) {
                Some((peer, times)) => {
                    format!("{times:>5.2} / {:<4} {}", goal.times, peer.name())
                }
                None => "not measured".to_owned(),
            };
            println!(
                "{tasks:>3} task(s), c={callers:<2} {what:<6}  {:<23} {reached}",
                system.name()
            );
        }
    }
}
