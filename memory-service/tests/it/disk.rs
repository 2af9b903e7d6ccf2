//! Disks that are full and folders that cannot be used: clear errors, and nothing is lost.

use std::{
    fs,
    process::{Command as Blocking, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{ChildStdout, Command},
};
use tonic::Code;
use weft_proto::memory::v1 as pb;

use crate::{
    partners::leave_out,
    support::{Calls as _, Client, assert_status, connect, get, put, value},
};

/// Serves twice on a disk of its own, until it reads a line; all of it ends with its parent.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=280m tmpfs "$1" || exit
    for time in first second; do
        "$0" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log error \
            --min-free-disk 134217728 --data-dir "$1" &
        read -r _
        kill -9 $!
        wait
    done
"#;

async fn next_client(lines: &mut Lines<BufReader<ChildStdout>>) -> Client {
    let line = lines.next_line().await.unwrap().unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    connect(addresses["grpc"].as_str().unwrap()).await
}

/// Whether a process here can have a disk of its own.
fn disks_can_be_made() -> bool {
    let mount = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    let mounted = Blocking::new("unshare")
        .args(["--map-root-user", "--mount"])
        .args(mount)
        .output();
    let can = mounted.is_ok_and(|mounted| mounted.status.success());
    if !can {
        leave_out("`unshare` cannot make a small disk here");
    }
    can
}

/// Half a mebibyte that compresses badly.
fn document(number: usize) -> String {
    let mut state = number as u64;
    let characters = (0..512 << 10).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'0' + (state >> 58) as u8 % 43)
    });
    format!(
        r#"{{"n":{number},"noise":"{}"}}"#,
        characters.collect::<String>()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_refuses_puts_and_loses_nothing() {
    if !disks_can_be_made() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("unshare")
        .args([
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["sh", "-c", ON_A_SMALL_DISK])
        .arg(env!("CARGO_BIN_EXE_memory-service"))
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let mut client = next_client(&mut lines).await;
    let mut acknowledged = 0;
    let refused = loop {
        let request = pb::PutItemRequest {
            indexing: Some(pb::Indexing {
                disabled: true,
                paths: Vec::new(),
            }),
            ..put("full", &acknowledged.to_string(), &document(acknowledged))
        };
        match client.put(request).await {
            Ok(_) => acknowledged += 1,
            Err(status) => break status,
        }
        assert!(acknowledged < 1000, "the disk has no end");
    };
    assert_status(&refused, Code::ResourceExhausted, "DISK_FULL");
    assert!(acknowledged > 50, "{acknowledged}");
    client.get(get("full", "0")).await.unwrap();

    let mut kill = shell.stdin.take().unwrap();
    kill.write_all(b"\n").await.unwrap();
    let mut client = next_client(&mut lines).await;
    for number in 0..acknowledged {
        let item = client.get(get("full", &number.to_string())).await.unwrap();
        assert!(value(&item) == document(number), "{number}");
    }
    kill.write_all(b"\n").await.unwrap();
    shell.wait().await.unwrap();
}

/// Starts where next to nothing is free; what it complains of is the output.
const ON_A_FULL_DISK: &str = r#"
    mount -t tmpfs -o size=64m tmpfs "$1" || exit
    head -c 60m /dev/zero >"$1/filler"
    exec "$0" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log off --data-dir "$1" 2>&1
"#;

#[test]
fn a_start_on_a_full_disk_says_so_and_is_not_killed_by_it() {
    if !disks_can_be_made() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Blocking::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", ON_A_FULL_DISK])
        .arg(env!("CARGO_BIN_EXE_memory-service"))
        .arg(folder.path())
        .output()
        .unwrap();
    let complaint = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("67108864 must stay free"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
}

#[test]
fn a_folder_that_cannot_be_used_is_named_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let output = Blocking::new(env!("CARGO_BIN_EXE_memory-service"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log", "off", "--data-dir"])
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(
            complaint.contains(folder.path().to_str().unwrap()),
            "{complaint}"
        );
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        complaint
    };
    let memory = folder.path().join("memory");
    fs::write(&memory, "a file").unwrap();
    start();
    fs::remove_file(&memory).unwrap();
    fs::create_dir_all(memory.join("FORMAT")).unwrap();
    start();
    fs::remove_dir(memory.join("FORMAT")).unwrap();
    fs::write(memory.join("FORMAT"), "weft-memory-edge 1\n").unwrap();
    fs::create_dir_all(memory.join("engine/segments/broken")).unwrap();
    fs::write(memory.join("engine/edge_config.json"), "{").unwrap();
    assert!(start().contains("cannot be opened"));
    // Nothing was repaired by taking something away.
    assert!(memory.join("engine/segments/broken").is_dir());
}
