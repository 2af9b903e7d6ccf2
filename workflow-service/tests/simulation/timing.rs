//! How long runs execute, and how often they are handed out.

use std::{collections::HashMap, time::Duration};

use workflow_service::{
    domain::{RunId, Transition},
    store::{Dispatch, Rest, RunEnd},
};

/// What a run may take beyond its timeout: a cancel has its grace then.
const SLACK: Duration = Duration::from_secs(20);
/// Dispatches in a row that came to nothing but another wait. A worker whose clock is behind by a
/// minute makes a dozen.
const MAX_IN_VAIN: u32 = 40;

/// Timing is what runs took, by the writes that were committed.
#[derive(Default)]
pub(crate) struct Timing(HashMap<RunId, Timed>);

#[derive(Default)]
struct Timed {
    /// Time that counts against the timeout.
    executed: Duration,
    /// When the dispatch that is under way was claimed, since the beginning.
    claimed: Duration,
    /// What that one may take.
    remaining: Option<Duration>,
    /// Calls recorded when it was.
    recorded: usize,
    /// Whether the last one ended in a wait.
    has_waited: bool,
    in_vain: u32,
}

impl Timing {
    /// A run with this timeout is handed out.
    pub(crate) fn dispatched(
        &mut self,
        dispatch: &Dispatch,
        timeout: Option<Duration>,
        elapsed: Duration,
    ) -> Result<(), String> {
        let run = self.0.entry(dispatch.run.id).or_default();
        let remaining = timeout.map(|timeout| timeout.saturating_sub(run.executed));
        let micros = |time: Option<Duration>| time.map(|time| time.as_micros());
        if micros(dispatch.remaining) != micros(remaining) {
            return Err(format!(
                "a run that executed for {:?} of {timeout:?} may take {:?} more",
                run.executed, dispatch.remaining
            ));
        }
        let recorded = dispatch.journal.len();
        let is_in_vain = run.has_waited && run.recorded == recorded;
        run.in_vain = if is_in_vain { run.in_vain + 1 } else { 0 };
        run.claimed = elapsed;
        run.remaining = remaining;
        run.recorded = recorded;
        run.has_waited = false;
        match run.in_vain > MAX_IN_VAIN {
            true => Err(format!(
                "a run is handed out again and again: {} times in vain",
                run.in_vain
            )),
            false => Ok(()),
        }
    }

    /// A dispatch ended. `is_prompt`: whether messages take no time.
    pub(crate) fn rested(
        &mut self,
        id: RunId,
        rest: &Rest,
        elapsed: Duration,
        is_prompt: bool,
    ) -> Result<(), String> {
        let run = self.0.entry(id).or_default();
        let since = elapsed.saturating_sub(run.claimed);
        if rest.executed > since {
            return Err(format!(
                "a run that was claimed {since:?} ago executed for {:?}",
                rest.executed
            ));
        }
        let is_timeout =
            matches!(&rest.end, RunEnd::Failed(failure) if failure.reason == "RUN_TIMEOUT");
        match (is_timeout, run.remaining) {
            (true, None) => return Err("a run without a timeout took too long".to_owned()),
            // What is stored of a timeout has whole microseconds.
            (true, Some(remaining)) if rest.executed + Duration::from_micros(1) <= remaining => {
                return Err(format!(
                    "a run took too long after {:?} of {remaining:?}",
                    rest.executed
                ));
            }
            (false, Some(remaining)) if is_prompt && rest.executed > remaining + SLACK => {
                return Err(format!(
                    "a run went on for {:?} and had {remaining:?}",
                    rest.executed
                ));
            }
            _ => {}
        }
        // As exact as it is stored.
        run.executed += Duration::from_micros(u64::try_from(rest.executed.as_micros()).unwrap());
        run.has_waited = matches!(rest.end.transition(), Transition::Wait | Transition::Ask)
            && !matches!(rest.end, RunEnd::Retrying { .. });
        Ok(())
    }

    /// A run is retried: its time begins anew.
    pub(crate) fn retried(&mut self, run: RunId) {
        self.0.remove(&run);
    }

    /// The process has crashed.
    pub(crate) fn all_over(&mut self) {
        for run in self.0.values_mut() {
            run.has_waited = false;
        }
    }
}
