//! A world in memory, for processes that do not really end.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::{Effect, Outside, run_again};

/// Memory is a world in memory. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    effects: Vec<(Kind, String)>,
    passes: HashMap<String, u32>,
    repaired: HashSet<Uuid>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ran,
    Seen,
}

impl Memory {
    /// Repairs what breaks in a run.
    pub fn repair(&self, run: Uuid) {
        self.lock().repaired.insert(run);
    }

    /// The keys of tasks of these runs that ran again after their results were acknowledged.
    pub fn run_again(&self, is_of_interest: impl Fn(Uuid) -> bool) -> Vec<String> {
        let seen = self.lock();
        let of_interest = seen.effects.iter().filter(|(_, key)| {
            let run = key.split('/').next().and_then(|id| id.parse().ok());
            run.is_some_and(&is_of_interest)
        });
        let effects = of_interest.map(|(kind, key)| match kind {
            Kind::Ran => Effect::Ran(key),
            Kind::Seen => Effect::Seen(key),
        });
        run_again(effects).into_iter().map(str::to_owned).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outside for Memory {
    fn note(&self, effect: Effect<'_>) {
        let effect = match effect {
            Effect::Ran(key) => (Kind::Ran, key.to_owned()),
            Effect::Seen(key) => (Kind::Seen, key.to_owned()),
        };
        self.lock().effects.push(effect);
    }

    fn passes(&self, place: &str) -> u32 {
        let mut seen = self.lock();
        let passes = seen.passes.entry(place.to_owned()).or_default();
        *passes += 1;
        *passes
    }

    fn is_repaired(&self, run: Uuid) -> bool {
        self.lock().repaired.contains(&run)
    }
}
