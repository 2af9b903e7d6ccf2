//! What an answer took, as Messages counts it.

use serde::Deserialize;

use crate::llm::usage::Usage;

/// What is counted; later numbers replace earlier ones.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl WireUsage {
    /// Takes newer numbers.
    pub(super) fn update(&mut self, newer: Self) {
        let update = |old: &mut Option<u64>, new: Option<u64>| *old = new.or(*old);
        update(&mut self.input_tokens, newer.input_tokens);
        update(&mut self.output_tokens, newer.output_tokens);
        update(
            &mut self.cache_read_input_tokens,
            newer.cache_read_input_tokens,
        );
        update(
            &mut self.cache_creation_input_tokens,
            newer.cache_creation_input_tokens,
        );
    }

    /// The format counts cached tokens beside the others.
    pub(super) fn read(self) -> Usage {
        let (read, write) = (
            self.cache_read_input_tokens.unwrap_or(0),
            self.cache_creation_input_tokens.unwrap_or(0),
        );
        Usage {
            input_tokens: self.input_tokens.unwrap_or(0) + read + write,
            output_tokens: self.output_tokens.unwrap_or(0),
            cache_read_tokens: read,
            cache_write_tokens: write,
            reasoning_tokens: 0,
        }
    }
}
