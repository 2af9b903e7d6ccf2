//! What calls of language models take.

use std::{
    ops::AddAssign,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Usage counts calls of language models and their tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Answers of models.
    pub model_calls: u32,
    /// Tokens that were read, cached ones included.
    pub input_tokens: u64,
    /// Tokens that were written, thoughts included.
    pub output_tokens: u64,
    /// Of those read: taken from a provider's cache.
    pub cache_read_tokens: u64,
    /// Of those read: put into a provider's cache.
    pub cache_write_tokens: u64,
    /// Of those written: thoughts, where the provider tells.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Whether nothing was used.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        let add = |to: &mut u64, from: u64| *to = to.saturating_add(from);
        self.model_calls = self.model_calls.saturating_add(other.model_calls);
        add(&mut self.input_tokens, other.input_tokens);
        add(&mut self.output_tokens, other.output_tokens);
        add(&mut self.cache_read_tokens, other.cache_read_tokens);
        add(&mut self.cache_write_tokens, other.cache_write_tokens);
        add(&mut self.reasoning_tokens, other.reasoning_tokens);
    }
}

/// UsageMeter adds up what one call uses, in all of its attempts. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct UsageMeter(Arc<Mutex<Usage>>);

impl UsageMeter {
    /// Adds something.
    pub fn add(&self, usage: Usage) {
        // Nothing panics while it holds the lock.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += usage;
    }

    /// What was used so far.
    pub fn total(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
