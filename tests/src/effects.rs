//! What random programs do outside of their processes: lines of a file, which outlives every kill.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use random_programs::{Effect, Outside};
use uuid::Uuid;

/// Tells a service whose programs are compiled into it where their effects go.
pub const FOLDER_VARIABLE: &str = "WEFT_TEST_EFFECTS";

const RAN: &str = "ran";
const SEEN: &str = "seen";

/// Effects appends a line for each effect to the file `effects` of a folder, in one write: what a
/// killed process wrote stays written, and lines of two processes do not mix.
#[derive(Debug)]
pub struct Effects {
    folder: PathBuf,
    file: File,
}

impl Effects {
    /// The effects in `folder`, after those of other processes.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("effects");
        let file = append(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
        })
    }

    #[expect(clippy::expect_used, reason = "fails the run, and with it the test")]
    fn add(&self, kind: &str, what: &str) {
        let written = (&self.file).write_all(format!("{kind} {what}\n").as_bytes());
        written.expect("without its effects a run proves nothing");
    }
}

impl Outside for Effects {
    fn note(&self, effect: Effect<'_>) {
        match effect {
            Effect::Ran(key) => self.add(RAN, key),
            Effect::Seen(key) => self.add(SEEN, key),
        }
    }

    #[expect(clippy::expect_used, reason = "fails the run, and with it the test")]
    fn passes(&self, place: &str) -> u32 {
        // A file for each place, a byte for each time: all processes count alike.
        let place = self
            .folder
            .join(format!("passes-{}", place.replace('/', "-")));
        let counted = append(&place).and_then(|mut file| {
            file.write_all(b".")?;
            file.metadata()
        });
        let bytes = counted
            .expect("without its effects a run proves nothing")
            .len();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    fn is_repaired(&self, run: Uuid) -> bool {
        repaired(&self.folder, &run.to_string()).exists()
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn repaired(folder: &Path, run: &str) -> PathBuf {
    folder.join(format!("repaired-{run}"))
}

/// Repairs what breaks in a run.
///
/// # Errors
/// If the folder is gone.
pub fn repair(folder: &Path, run: &str) -> Result<()> {
    Ok(fs::write(repaired(folder, run), "")?)
}

/// The keys of tasks of these runs that ran again after their results were acknowledged, and how
/// many results were.
///
/// # Errors
/// If the file cannot be read.
pub fn run_again(
    folder: &Path,
    is_of_interest: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, usize)> {
    let text = fs::read_to_string(folder.join("effects"))?;
    let effects: Vec<Effect<'_>> = text
        .lines()
        .filter_map(|line| {
            let (kind, key) = line.split_once(' ')?;
            let (run, _) = key.split_once('/')?;
            match kind {
                RAN if is_of_interest(run) => Some(Effect::Ran(key)),
                SEEN if is_of_interest(run) => Some(Effect::Seen(key)),
                _ => None,
            }
        })
        .collect();
    let seen = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Seen(_)));
    let seen = seen.count();
    let again = random_programs::run_again(effects);
    Ok((again.into_iter().map(str::to_owned).collect(), seen))
}
