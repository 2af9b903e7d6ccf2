//! Prints the retrieval corpus, a line of JSON for each document and question.

use std::io::{self, BufWriter, Write as _};

fn main() -> anyhow::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    for line in e2e::corpus::lines() {
        writeln!(output, "{}", serde_json::to_string(&line)?)?;
    }
    Ok(output.flush()?)
}
