//! Damages of a data folder that no read stumbles over: a check tells of each.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    commands::{fail, fill, succeed},
    embedder::Embedder,
    support::Running,
};

/// Does something to a file.
type Damage = fn(&Path);

fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}

fn change(file: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

fn zero_a_page(file: &Path) {
    change(file, |bytes| bytes[..4096].fill(0));
}

fn mark_the_first_one_removed(file: &Path) {
    change(file, |bytes| bytes[0] ^= 1);
}

/// Of some number that is not zero, a bit of its exponent.
fn change_a_number(file: &Path) {
    change(file, |bytes| {
        let mut numbers = bytes.chunks_mut(4);
        let number = numbers.find(|number| number[3] != 0).unwrap();
        number[3] ^= 4;
    });
}

const DAMAGES: [(&str, Damage, &str); 7] = [
    (
        "vector_storage-words/deleted/flags_a.dat",
        mark_the_first_one_removed,
        "its words are not those of its texts",
    ),
    (
        "vector_storage-words/store/tracker.dat",
        zero_a_page,
        "its words are not those of its texts",
    ),
    (
        "vector_storage-meanings/deleted/flags_a.dat",
        mark_the_first_one_removed,
        "it has 0 vectors, but 1 texts that are embedded",
    ),
    (
        "vector_storage-meanings/vectors/chunk_0.mmap",
        change_a_number,
        "its vectors are not as they were made",
    ),
    (
        "-update_t-numeric/page_0.dat",
        zero_a_page,
        "updated at another time",
    ),
    (
        "mutable_id_tracker.versions",
        remove,
        "600 items were there when it was closed",
    ),
    ("/version.info", remove, "is not whole"),
];

/// All files in a folder, and below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    files.collect()
}

fn copy(from: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files(from) {
        let to = folder.path().join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_of_damages_that_no_read_stumbles_over() {
    let embedder = Embedder::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start_on(None, |config| {
        embedder.configure(config);
        config.data_dir = folder.path().into();
    })
    .await;
    fill(&mut running.client).await;
    running.stop().await;
    succeed(folder.path(), None, &["check"]).await;

    for (name, damage, expected) in DAMAGES {
        let damaged = copy(folder.path());
        let files = files(damaged.path());
        let hit = files
            .iter()
            .filter(|file| file.to_str().unwrap().ends_with(name));
        assert_ne!(hit.map(|file| damage(file)).count(), 0, "{name}");
        let told = fail(damaged.path(), None, &["check"]).await;
        assert!(told.contains(expected), "{name}: {told}");
    }
}
