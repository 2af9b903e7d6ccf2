//! Where the executables are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// The executable `name` that was built into the same target folder as this program.
///
/// # Errors
/// If it is not there; the sentence says what to run.
pub fn find(name: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("cannot tell where this program is")?;
    // Programs are in target/debug, tests in target/debug/deps.
    let folders: Vec<&Path> = this.ancestors().skip(1).take(2).collect();
    for folder in &folders {
        let candidate = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    let folder = folders.last().copied().unwrap_or(&this);
    bail!(
        "there is no `{name}` in `{}`: run `cargo build --workspace --bins` first, or use `make`",
        folder.display()
    )
}
