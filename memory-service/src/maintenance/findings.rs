//! What a command finds to be wrong, told one by one while it goes on.

use std::io::{self, Write as _};

use indicatif::ProgressBar;

/// Faults that are shown; the others are counted.
const SHOWN: u64 = 20;

/// What was found so far.
pub(super) struct Findings {
    pub(super) bar: ProgressBar,
    pub(super) faults: u64,
}

impl Findings {
    pub(super) fn beside(bar: ProgressBar) -> Self {
        Self { bar, faults: 0 }
    }

    /// Tells of a fault, on standard output, unless many were told of.
    ///
    /// # Errors
    /// If standard output cannot be written to.
    pub(super) fn fault(&mut self, fault: &str) -> io::Result<()> {
        self.faults += 1;
        if self.faults > SHOWN {
            return Ok(());
        }
        self.bar.suspend(|| writeln!(io::stdout(), "{fault}"))
    }
}
