//! Test partners that are no part of this workspace.

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
    thread,
};

/// Where a partner is, as a variable says. Without it a test is left out, aloud; never in CI.
///
/// # Errors
/// If there is none in CI.
pub fn partner(variable: &str) -> anyhow::Result<Option<PathBuf>> {
    let found = env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        anyhow::ensure!(
            env::var_os("CI").is_none(),
            "`{variable}` is not set; `make test` sets it"
        );
        let this = thread::current();
        let test = this.name().unwrap_or("a test");
        // Past what the harness keeps from the eye.
        writeln!(
            io::stderr(),
            "LEFT OUT: {test}: `{variable}` is not set; `make test` sets it"
        )?;
    }
    Ok(found)
}
