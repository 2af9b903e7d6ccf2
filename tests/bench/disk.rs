//! How often a second something can be done, the disk's own limit above all.

use std::{
    fs::File,
    io::{Result, Write as _},
    path::Path,
    time::{Duration, Instant},
};

/// Bytes of each append.
const BLOCK_BYTES: usize = 4096;

/// Does something again and again for so long; how often a second.
pub(crate) fn rate(time: Duration, mut work: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut count = 0_u32;
    while begin.elapsed() < time {
        work();
        count += 1;
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}

/// How often a second an append of 4 KiB reaches the disk.
pub(crate) fn syncs(folder: &Path, time: Duration) -> Result<f64> {
    let mut file = File::create(folder.join("disk"))?;
    let mut failure = None;
    let syncs = rate(time, || {
        let appended = file.write_all(&[7; BLOCK_BYTES]);
        if let Err(error) = appended.and_then(|()| file.sync_data()) {
            failure = Some(error);
        }
    });
    failure.map_or(Ok(syncs), Err)
}
