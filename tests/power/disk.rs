//! A disk as a loss of power may leave it: what was flushed is there, and of the rest any part.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use rand::{RngExt as _, rngs::StdRng};

/// Files of the store, as `recorder.c` numbers them.
const FILES: [&str; 3] = ["workflow.db", "workflow.db-wal", "workflow.db-journal"];
/// Bytes that reach a disk together or not at all.
const SECTOR: usize = 512;

/// What happened to a file.
#[derive(Debug)]
enum Note<'a> {
    Wrote(usize, &'a [u8]),
    Truncated(usize),
    FlushBegan,
    Flushed,
    Removed,
}

/// Takes the first note off what `recorder.c` wrote: the file and what happened to it.
fn take<'a>(notes: &mut &'a [u8]) -> Result<(usize, Note<'a>)> {
    let cut_off = "a note is cut off";
    let (&[what, file], rest) = notes.split_first_chunk().context(cut_off)?;
    let (at, rest) = rest.split_first_chunk().context(cut_off)?;
    let (size, rest) = rest.split_first_chunk().context(cut_off)?;
    let size = u32::from_ne_bytes(*size).try_into()?;
    let (bytes, rest) = rest.split_at_checked(size).context(cut_off)?;
    *notes = rest;
    let at = u64::from_ne_bytes(*at).try_into()?;
    let note = match what {
        b'w' => Note::Wrote(at, bytes),
        b't' => Note::Truncated(at),
        b'b' => Note::FlushBegan,
        b'e' => Note::Flushed,
        b'u' => Note::Removed,
        other => bail!("a note of an unknown kind: {other}"),
    };
    Ok((file.into(), note))
}

/// What becomes of what was not flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unflushed {
    Lost,
    Kept,
    /// Each sector of it is kept or lost, whichever was written first.
    Torn,
}

/// A file: what is on the disk for sure, and what was done to it since.
#[derive(Default)]
struct Image<'a> {
    flushed: Vec<u8>,
    since: Vec<Note<'a>>,
    /// Of these, those before the flush that is under way.
    flushing: usize,
}

impl<'a> Image<'a> {
    fn apply(bytes: &mut Vec<u8>, note: &Note<'_>) {
        match *note {
            Note::Wrote(at, written) => {
                bytes.resize(bytes.len().max(at + written.len()), 0);
                bytes[at..][..written.len()].copy_from_slice(written);
            }
            Note::Truncated(length) => bytes.resize(length, 0),
            Note::FlushBegan | Note::Flushed | Note::Removed => {}
        }
    }

    fn happens(&mut self, note: Note<'a>) {
        match note {
            Note::FlushBegan => self.flushing = self.since.len(),
            Note::Flushed => {
                for note in self.since.drain(..self.flushing) {
                    Self::apply(&mut self.flushed, &note);
                }
                self.flushing = 0;
            }
            // Names are taken to be on the disk at once.
            Note::Removed => *self = Self::default(),
            change => self.since.push(change),
        }
    }

    fn after_loss(&self, unflushed: Unflushed, random: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.flushed.clone();
        for note in &self.since {
            match (unflushed, note) {
                (Unflushed::Lost, _) => {}
                (Unflushed::Torn, Note::Wrote(at, written)) => {
                    for (number, sector) in written.chunks(SECTOR).enumerate() {
                        if random.random() {
                            let note = Note::Wrote(at + number * SECTOR, sector);
                            Self::apply(&mut bytes, &note);
                        }
                    }
                }
                (Unflushed::Torn, _) if random.random() => {}
                (Unflushed::Torn | Unflushed::Kept, note) => Self::apply(&mut bytes, note),
            }
        }
        bytes
    }
}

/// The files of the store, at one moment.
pub(crate) struct Disk<'a> {
    notes: &'a [u8],
    length: usize,
    /// How often the database itself was flushed, and not the log beside it.
    pub(crate) checkpoints: u32,
    images: [Image<'a>; FILES.len()],
}

impl<'a> Disk<'a> {
    /// Before all that is noted.
    pub(crate) fn new(notes: &'a [u8]) -> Self {
        Self {
            notes,
            length: notes.len(),
            checkpoints: 0,
            images: Default::default(),
        }
    }

    /// Goes on to the moment when so many bytes of notes were there.
    pub(crate) fn go_on_to(&mut self, moment: usize) -> Result<()> {
        while self.length - self.notes.len() < moment {
            let (file, note) = take(&mut self.notes)?;
            self.checkpoints += u32::from(file == 0 && matches!(note, Note::Flushed));
            let image = self.images.get_mut(file).context("an unknown file")?;
            image.happens(note);
        }
        Ok(())
    }

    /// Loses power, and leaves in `folder` what is on the disk then.
    pub(crate) fn lose_power(
        &self,
        unflushed: Unflushed,
        random: &mut StdRng,
        folder: &Path,
    ) -> Result<()> {
        for (name, image) in FILES.iter().zip(&self.images) {
            let bytes = image.after_loss(unflushed, random);
            if !bytes.is_empty() {
                fs::write(folder.join(name), bytes)?;
            }
        }
        Ok(())
    }
}
