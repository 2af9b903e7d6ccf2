//! All data as lines of JSON.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use service_runtime::BoxError;

use super::{
    AT_ONCE, attach,
    line::{self, Header},
    progress,
};
use crate::{
    config::Config,
    domain::EmbedderIdentity,
    store::{
        PointId,
        archive::{Archive, Record},
    },
};

const STANDARD_OUTPUT: &str = "standard output";

/// Writes everything to `file`, or to standard output if that is `-`.
pub(super) async fn export(config: &Config, file: &Path) -> Result<(), BoxError> {
    let (store, identity) = attach(config).await?;
    if file == Path::new("-") {
        let mut out = BufWriter::new(io::stdout());
        begin(&mut out, identity).map_err(|error| of(STANDARD_OUTPUT, error))?;
        write_all(&*store, &mut out, None, STANDARD_OUTPUT).await?;
    } else {
        if file.exists() {
            return Err(format!("`{}` is there already; name another file", file.display()).into());
        }
        let part = part_of(file);
        let (mut out, last) = match resume(&part, identity.as_ref())? {
            Some(resumed) => resumed,
            None => {
                let mut out =
                    BufWriter::new(File::create(&part).map_err(|error| of(&shown(&part), error))?);
                begin(&mut out, identity).map_err(|error| of(&shown(&part), error))?;
                (out, None)
            }
        };
        write_all(&*store, &mut out, last, &shown(&part)).await?;
        let synced = out.get_ref().sync_all();
        synced.map_err(|error| of(&shown(&part), error))?;
        fs::rename(&part, file).map_err(|error| of(&shown(file), error))?;
    }
    Ok(store.close().await?)
}

fn part_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".part");
    name.into()
}

fn shown(file: &Path) -> String {
    format!("`{}`", file.display())
}

fn of(place: &str, error: io::Error) -> BoxError {
    format!("{place}: {error}").into()
}

fn begin(out: &mut impl Write, identity: Option<EmbedderIdentity>) -> io::Result<()> {
    let header = serde_json::to_string(&Header::new(identity))?;
    writeln!(out, "{header}")
}

/// An export that was stopped, cut to its whole lines, and the place of the last record in it.
type Resumed = (BufWriter<File>, Option<PointId>);

/// Takes up an export that was stopped; `None` if there is none.
fn resume(part: &Path, identity: Option<&EmbedderIdentity>) -> Result<Option<Resumed>, BoxError> {
    let mut options = File::options();
    let file = match options.read(true).append(true).open(part) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(of(&shown(part), error)),
    };
    let mut lines = BufReader::new(&file);
    let (mut whole, mut last) = (0, None);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            break;
        }
        if whole == 0 {
            let header = Header::parse(line.as_bytes());
            let header = header.map_err(|fault| format!("`{}` {fault}", part.display()))?;
            if header.embedder.as_ref() != identity {
                let complaint = "is an export of other vectors; remove it";
                return Err(format!("`{}` {complaint}", part.display()).into());
            }
        }
        let is_header = whole == 0;
        whole += line.len() as u64;
        last = (!is_header).then_some(line);
    }
    if whole == 0 {
        file.set_len(0)?;
        return Ok(None);
    }
    file.set_len(whole)?;
    let last = match last {
        None => None,
        Some(line) => {
            let record = line::read(line.as_bytes(), identity);
            let record = record.map_err(|fault| format!("`{}`: {fault}", part.display()))?;
            Some(record.place())
        }
    };
    Ok(Some((BufWriter::new(file), last)))
}

/// Writes all records that come after the one at `last` to this place.
async fn write_all(
    store: &dyn Archive,
    out: &mut impl Write,
    last: Option<PointId>,
    place: &str,
) -> Result<(), BoxError> {
    let bar = progress::over(store.stored().await?);
    let mut from = last;
    loop {
        let part = store.records(from, AT_ONCE).await?;
        for record in part.records {
            let record: Record = record?;
            if Some(record.place()) != last {
                let line = line::write(&record)?;
                writeln!(out, "{line}").map_err(|error| of(place, error))?;
            }
            bar.inc(1);
        }
        match part.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    bar.finish();
    out.flush().map_err(|error| of(place, error))
}
