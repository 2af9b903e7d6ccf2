//! Commands whose process, or whose reader, goes away, and what a person sees of them meanwhile.

use std::{fs, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

use crate::{
    commands::{Data, ITEMS, fill, process, succeed},
    embedder::Embedder,
    partners::leave_out,
};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Data, and a file with all of it.
async fn exported(embedder: &Embedder) -> (Data, String) {
    let data = Data::of_engine();
    let mut running = data.serve(Some(embedder)).await;
    fill(&mut running.client).await;
    running.stop().await;
    let file = data.file("all.jsonl");
    succeed(&data, Some(embedder), &["export", &file]).await;
    (data, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_and_begun_again_ends_with_exactly_what_was_exported() {
    let embedder = Embedder::start().await;
    let (_old, file) = exported(&embedder).await;
    let new = Data::of_engine();
    let text = fs::read_to_string(&file).unwrap();
    let mut import = process(&new, Some(&embedder), &["import", "-"])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // The end it never gets. All that is before is more than what it can have taken without
    // importing something: a pipe holds 64 KiB.
    let (most, end) = text.as_bytes().split_at(text.len() - 1000);
    assert!(most.len() > (64 << 10) * 2 && end.contains(&b'\n'));
    let mut input = import.stdin.take().unwrap();
    let given = timeout(LONG, input.write_all(most)).await;
    given.expect("it reads").unwrap();
    import.kill().await.unwrap();

    let half = succeed(&new, Some(&embedder), &["export", "-"]).await;
    let imported = half.lines().count() - 1;
    assert!((1..ITEMS).contains(&imported), "{imported}");
    assert!(half.lines().all(|line| text.contains(line)));
    for _ in 0..2 {
        succeed(&new, Some(&embedder), &["import", &file]).await;
        let whole = succeed(&new, Some(&embedder), &["export", "-"]).await;
        assert!(whole == text, "{whole}");
    }
    succeed(&new, Some(&embedder), &["check"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_reader_goes_away_says_so() {
    let embedder = Embedder::start().await;
    let (data, _file) = exported(&embedder).await;
    let mut export = process(&data, Some(&embedder), &["export", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut first = [0; 100];
    let mut output = export.stdout.take().unwrap();
    let read = timeout(LONG, output.read_exact(&mut first)).await;
    read.expect("it writes").unwrap();
    drop(output);
    let ended = timeout(LONG, export.wait_with_output()).await;
    let ended = ended.expect("it ends").unwrap();
    let complaint = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("standard output: "), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_how_far_a_command_is_and_nothing_else_does() {
    let embedder = Embedder::start().await;
    let (data, file) = exported(&embedder).await;
    for (command, shown) in [
        (vec!["check"], format!("{ITEMS}/{ITEMS} items")),
        (vec!["import", &file], "MiB".to_owned()),
    ] {
        let plain = process(&data, Some(&embedder), &command);
        let words = [plain.as_std().get_program()];
        let words = words.into_iter().chain(plain.as_std().get_args());
        let line: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
        let mut on_a_terminal = Command::new("script");
        on_a_terminal.args([
            "--quiet",
            "--return",
            "--command",
            &line.join(" "),
            "/dev/null",
        ]);
        for (name, value) in plain.as_std().get_envs() {
            on_a_terminal.env(name, value.unwrap_or_default());
        }
        on_a_terminal
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let Ok(shell) = on_a_terminal.stdout(Stdio::piped()).spawn() else {
            return leave_out("there is no `script` to make a terminal with");
        };
        let output = timeout(LONG, shell.wait_with_output()).await;
        let output = output.expect("it ends").unwrap();
        let screen = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{screen}");
        assert!(screen.contains(&shown), "{screen}");

        let mut plain = plain;
        let output = timeout(LONG, plain.output()).await;
        let output = output.expect("it ends").unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.is_empty(), "{complaint}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(!told.contains(&shown) && !told.contains('\u{1b}'), "{told}");
    }
}
