//! How many texts embedders in the process make vectors of in a second of processor time. Left out
//! unless asked for, by the variable on one thread:
//! `RAYON_NUM_THREADS=1 cargo test --workspace --test it -- --ignored --nocapture texts_a_second`.

use std::{fs, path::Path};

use memory_service::embed::{Embedder as _, local::Kind};

use crate::{local_models::load, partners};

/// Twelve words, some fifteen tokens.
const SHORT: &str = "she told me that her brother moved to another town last";

/// Seconds of processor time that this process has taken; the kernel counts in hundredths.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which may hold anything: user time is the 12th field, system time the next.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields = fields.split_whitespace().skip(11).take(2);
    fields
        .map(|field| field.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

#[expect(clippy::print_stdout, reason = "what is measured is to be seen")]
async fn measure(kind: Kind, folder: &Path) {
    let embedder = load(kind, folder).await.unwrap();
    let times = if kind == Kind::Static { 50 } else { 1 };
    for (name, words, count) in [("short", 1, 256), ("long", 12, 64)] {
        let text = |index| format!("{} {index}", [SHORT].repeat(words).join(", "));
        let texts: Vec<_> = (0..count * times).map(text).collect();
        let started = processor_seconds();
        for part in texts.chunks(64) {
            embedder.embed_documents(part).await.unwrap();
        }
        let batched = texts.len() as f64 / (processor_seconds() - started);
        let started = processor_seconds();
        for text in &texts[..64 * times] {
            let alone = std::slice::from_ref(text);
            embedder.embed_documents(alone).await.unwrap();
        }
        let alone = 64.0 * times as f64 / (processor_seconds() - started);
        println!("{kind:?}, {name} texts: {batched:.0}/s in batches, {alone:.0}/s alone");
    }
}

#[tokio::test]
#[ignore = "measures"]
async fn texts_a_second_of_wordllama_and_minilm() {
    if let Some(folder) = partners::wordllama() {
        measure(Kind::Static, &folder).await;
    }
    if let Some(folder) = partners::minilm() {
        measure(Kind::Bert, &folder).await;
    }
}
