//! Test partners that are no part of this workspace: models, and a double of providers.

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
    thread,
};

/// The folder of the Python package `wordllama`: a static model.
pub(crate) fn wordllama() -> Option<PathBuf> {
    partner("WEFT_TEST_WORDLLAMA")
}

/// The folder of all-MiniLM-L6-v2: a BERT encoder.
pub(crate) fn minilm() -> Option<PathBuf> {
    partner("WEFT_TEST_MINILM")
}

/// The program `aimock`: a double of providers of models.
pub(crate) fn aimock() -> Option<PathBuf> {
    partner("WEFT_TEST_AIMOCK")
}

/// Where a partner is, as a variable says. Without it a test is left out, aloud; never in CI.
fn partner(variable: &str) -> Option<PathBuf> {
    let found = env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        leave_out(&format!("`{variable}` is not set; `make test` sets it"));
    }
    found
}

/// Says that a test is left out, and why.
///
/// # Panics
/// In CI.
pub(crate) fn leave_out(why: &str) {
    assert!(env::var_os("CI").is_none(), "{why}");
    let this = thread::current();
    let test = this.name().unwrap_or("a test");
    // Past what the harness keeps from the eye.
    let said = writeln!(io::stderr(), "LEFT OUT: {test}: {why}");
    said.unwrap();
}
