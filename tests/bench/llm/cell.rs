//! How many streams are read at once, and what they say.

use std::{fmt, str::FromStr};

/// Streams that are open at once.
pub(crate) struct Cell {
    pub(crate) streams: u32,
    /// How often that is done.
    pub(crate) rounds: u32,
    pub(crate) pace: Pace,
}

/// What a stream says, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Tokens a second; 0 for as many as are taken.
    pub(crate) rate: u32,
    /// Tokens in all.
    pub(crate) tokens: u32,
}

impl Pace {
    pub(crate) const ONE: Self = Self { rate: 1, tokens: 1 };
}

/// What fast models write a second is 50 tokens.
pub(crate) const CELLS: [Cell; 7] = [
    steady(1, 5, 50, 100),
    steady(100, 2, 50, 100),
    steady(1000, 1, 10, 100),
    steady(1000, 2, 50, 100),
    flat_out(1, 200_000),
    flat_out(100, 4000),
    flat_out(1000, 400),
];

const fn steady(streams: u32, rounds: u32, rate: u32, tokens: u32) -> Cell {
    let pace = Pace { rate, tokens };
    Cell {
        streams,
        rounds,
        pace,
    }
}

const fn flat_out(streams: u32, tokens: u32) -> Cell {
    steady(streams, 1, 0, tokens)
}

/// As the name of a model, which is how the provider is told.
impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rate, self.tokens)
    }
}

impl FromStr for Pace {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (rate, tokens) = text.split_once('x').unwrap_or(("0", text));
        Ok(Self {
            rate: rate.parse()?,
            tokens: tokens.parse()?,
        })
    }
}
