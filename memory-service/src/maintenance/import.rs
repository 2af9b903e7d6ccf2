//! Data from lines of JSON.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use service_runtime::BoxError;

use super::{
    AT_ONCE, embedding,
    findings::Findings,
    line::{self, Header},
    open, progress,
};
use crate::{
    config::Config,
    domain::{Clock as _, SystemClock},
    embed::Embedding,
    store::{PointId, archive::Record},
};

/// Reads everything from `file`, or from standard input if that is `-`. Lines that are damaged are
/// told of by their numbers, and those after them read all the same.
pub(super) async fn import(config: &Config, file: &Path) -> Result<(), BoxError> {
    let name = file.display();
    let (mut lines, bytes): (Box<dyn BufRead + Send>, u64) = if file == Path::new("-") {
        (Box::new(BufReader::new(io::stdin())), 0)
    } else {
        let opened = File::open(file).map_err(|error| format!("`{name}`: {error}"))?;
        let bytes = opened.metadata()?.len();
        (Box::new(BufReader::new(opened)), bytes)
    };
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line)?;
    let header = Header::parse(&line).map_err(|fault| format!("`{name}` {fault}"))?;
    let identity = embedding(config).await?.as_ref().map(Embedding::identity);
    if header.embedder != identity {
        let shown = |identity: Option<&crate::domain::EmbedderIdentity>| {
            identity.map_or_else(|| "`none`".to_owned(), ToString::to_string)
        };
        return Err(format!(
            "`{name}` has vectors of {}, but the embedder is {}; import with the former, then `reindex` with the latter",
            shown(header.embedder.as_ref()),
            shown(identity.as_ref()),
        )
        .into());
    }
    let store = open(config, identity.clone()).await?;
    let mut findings = Findings::beside(progress::bytes(bytes));
    let (mut number, mut records) = (1, HashMap::new());
    loop {
        findings.bar.inc(line.len() as u64);
        line.clear();
        let end = lines.read_until(b'\n', &mut line)? == 0;
        if !end {
            number += 1;
            match line::read(&line, identity.as_ref()) {
                Ok(record) => add(&mut records, record),
                Err(fault) => findings.fault(&format!("line {number} of `{name}`: {fault}"))?,
            }
        }
        if records.len() == AT_ONCE || end {
            let records = std::mem::take(&mut records).into_values();
            store.restore(records.collect(), SystemClock.now()).await?;
        }
        if end {
            break;
        }
    }
    findings.bar.finish();
    store.close().await?;
    match findings.faults {
        0 => Ok(()),
        1 => Err(format!("1 line of `{name}` is damaged; all others are imported").into()),
        faults => {
            Err(format!("{faults} lines of `{name}` are damaged; all others are imported").into())
        }
    }
}

/// Adds a record; of two of one name, that of the later update.
fn add(records: &mut HashMap<PointId, Record>, record: Record) {
    match records.entry(record.place()) {
        Entry::Vacant(place) => {
            place.insert(record);
        }
        Entry::Occupied(mut there) => {
            let updated = |record: &Record| record.item.version.update_time;
            if updated(there.get()) < updated(&record) {
                there.insert(record);
            }
        }
    }
}
