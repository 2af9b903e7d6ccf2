//! Who may use a folder, and what for.

use super::*;
use crate::domain::EmbedderIdentity;

fn index(embedder: Option<EmbedderIdentity>) -> IndexIdentity {
    IndexIdentity::new(embedder, &[])
}

fn open(folder: &Path) -> Result<Folder, FolderError> {
    Folder::open(folder, &index(None), None).map(|(folder, _)| folder)
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
        let opened = Folder::open(folder.path(), &index(embedder), None);
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
    let embedder = index(Some(EmbedderIdentity {
        name: "http:a".to_owned(),
        dims: 3,
        template: "{text}".to_owned(),
    }));
    let none = index(None);
    let entries = || {
        let entries = fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    };
    let old = open(folder.path()).unwrap();
    let begun = old.successor(&embedder).unwrap();
    assert_ne!(begun.engine(), old.engine());
    assert_eq!(
        entries(),
        ["FORMAT", "LOCK", "NEXT", "SECRET", "engine", "engine.2"]
    );
    assert_eq!(Folder::identity(folder.path()).unwrap(), Some(none.clone()));
    // Whoever asks for another one begins anew, whoever asks for the same goes on.
    fs::write(begun.engine().join("point"), "").unwrap();
    let same = old.successor(&embedder).unwrap();
    assert!(same.engine().join("point").exists());
    let other = old.successor(&none).unwrap();
    assert!(!other.engine().join("point").exists());
    old.abandon_successor().unwrap();
    assert_eq!(entries(), ["FORMAT", "LOCK", "SECRET", "engine"]);

    let next = old.successor(&embedder).unwrap();
    next.commit().unwrap();
    next.remove_old_engines().unwrap();
    drop((old, begun, same, other, next));
    assert_eq!(entries(), ["FORMAT", "LOCK", "SECRET", "engine.2"]);
    let (reopened, found) = Folder::open(folder.path(), &embedder, Some(&none)).unwrap();
    assert_eq!(found, Index::Present);
    assert!(reopened.engine().ends_with("engine.2"));
    let third = reopened.successor(&none).unwrap();
    assert!(third.engine().ends_with("engine.3"));
}

#[test]
fn a_folder_of_the_former_index_is_taken_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        |path: &str| IndexIdentity::new(None, &[crate::domain::IndexPath::parse(path).unwrap()]);
    let found = |index: &IndexIdentity, former| {
        let opened = Folder::open(folder.path(), index, former);
        opened
            .map(|(_, found)| found)
            .map_err(|error| error.to_string())
    };
    let (old, new, third) = (path("old"), path("new"), path("third"));
    assert_eq!(found(&old, None), Ok(Index::Present));
    assert_eq!(found(&new, Some(&old)), Ok(Index::Former));
    let error = found(&new, Some(&third)).unwrap_err();
    assert!(
        error.contains("`none` over `old`") && error.contains("`none` over `new`"),
        "{error}"
    );
    // What was not recorded is taken as it is said to be.
    fs::write(folder.path().join("FORMAT"), "weft-memory-edge 1\n\n").unwrap();
    assert_eq!(found(&new, Some(&old)), Ok(Index::Former));
    assert_eq!(found(&new, None), Ok(Index::Present));
}
