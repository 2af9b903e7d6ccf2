//! Who may use a folder, and what for.

use super::*;

fn open(folder: &Path) -> Result<Folder, FolderError> {
    Folder::open(folder, None)
}

#[test]
fn a_folder_belongs_to_one_owner_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn another_format_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FORMAT"), "weft-memory-edge 999\n").unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("weft-memory-edge 999") && error.contains(VERSION),
        "{error}"
    );
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    assert!(matches!(open(folder.path()), Err(FolderError::Foreign(_))));
    assert!(!folder.path().join("FORMAT").exists());
}

#[test]
fn a_folder_keeps_its_secret_and_shares_it_with_no_other() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = |folder: &Path| open(folder).unwrap().secret().to_vec();
    let first = secret(one.path());
    assert_eq!(secret(one.path()), first);
    assert_ne!(secret(other.path()), first);
    fs::write(one.path().join("SECRET"), "short").unwrap();
    let error = open(one.path()).unwrap_err().to_string();
    assert!(error.contains("`SECRET`"), "{error}");
}

#[test]
fn a_crash_while_the_folder_was_made_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FORMAT.new"), "weft-mem").unwrap();
    open(folder.path()).unwrap();
}

#[test]
fn a_folder_takes_vectors_of_the_embedder_it_was_made_for_only() {
    let folder = tempfile::tempdir().unwrap();
    let embedder = |name: &str, dims| EmbedderIdentity {
        name: name.to_owned(),
        dims,
        template: "{text}".to_owned(),
    };
    let open = |embedder: Option<EmbedderIdentity>| {
        let opened = Folder::open(folder.path(), embedder.as_ref());
        opened.map(drop).map_err(|error| error.to_string())
    };
    let own = embedder("http:a", 3);
    open(Some(own.clone())).unwrap();
    open(Some(own)).unwrap();
    for (other, shown) in [
        (None, "`none`"),
        (Some(embedder("http:b", 3)), "`http:b` with 3 dimensions"),
        (Some(embedder("http:a", 4)), "`http:a` with 4 dimensions"),
    ] {
        let error = open(other).unwrap_err();
        assert!(error.contains("`http:a` with 3 dimensions"), "{error}");
        assert!(error.contains(shown), "{error}");
    }
}

#[test]
fn a_successor_is_in_force_all_at_once_and_nothing_is_left_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let embedder = EmbedderIdentity {
        name: "http:a".to_owned(),
        dims: 3,
        template: "{text}".to_owned(),
    };
    let entries = || {
        let entries = fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    };
    let old = open(folder.path()).unwrap();
    let begun = old.successor(Some(&embedder)).unwrap();
    assert_ne!(begun.engine(), old.engine());
    assert_eq!(
        entries(),
        ["FORMAT", "LOCK", "NEXT", "SECRET", "engine", "engine.2"]
    );
    assert_eq!(Folder::identity(folder.path()).unwrap(), None);
    // Whoever asks for another one begins anew, whoever asks for the same goes on.
    fs::write(begun.engine().join("point"), "").unwrap();
    let same = old.successor(Some(&embedder)).unwrap();
    assert!(same.engine().join("point").exists());
    let other = old.successor(None).unwrap();
    assert!(!other.engine().join("point").exists());
    old.abandon_successor().unwrap();
    assert_eq!(entries(), ["FORMAT", "LOCK", "SECRET", "engine"]);

    let next = old.successor(Some(&embedder)).unwrap();
    next.commit().unwrap();
    drop((old, begun, same, other, next));
    assert_eq!(entries(), ["FORMAT", "LOCK", "SECRET", "engine.2"]);
    let reopened = Folder::open(folder.path(), Some(&embedder)).unwrap();
    assert!(reopened.engine().ends_with("engine.2"));
    let third = reopened.successor(None).unwrap();
    assert!(third.engine().ends_with("engine.3"));
}
