//! The worker in Rust speaks the protocol; one that does not is told from it.

use anyhow::Result;
use e2e::{binary, within};
use tokio::process::Command;

#[tokio::test]
async fn the_worker_in_rust_passes_every_scenario() -> Result<()> {
    let driver = Command::new(binary::find("worker-conformance")?)
        .arg(binary::find("conformance-worker")?)
        .arg("{url}")
        .kill_on_drop(true)
        .output();
    let output = within("the scenarios", driver).await??;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("24 passed, 0 failed, 0 about"), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_offers_no_tasks_is_spared_what_is_about_them() -> Result<()> {
    let driver = Command::new(binary::find("worker-conformance")?)
        .arg(binary::find("conformance-worker")?)
        .args(["{url}", "--no-tasks"])
        .kill_on_drop(true)
        .output();
    let output = within("the scenarios", driver).await??;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("20 passed, 0 failed, 4 about"), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_does_not_do_as_it_should_fails() -> Result<()> {
    // It hosts other entrypoints.
    let driver = Command::new(binary::find("worker-conformance")?)
        .arg(binary::find("example-worker")?)
        .args(["--url", "{url}"])
        .kill_on_drop(true)
        .output();
    let output = within("the scenarios", driver).await??;
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{report}");
    let named = "FAIL  it says hello and waits for its welcome: it does not host the entrypoint \
                 `conformance` of version `1`, but `ask` of version `1`, `steps` of version `1`";
    assert!(report.contains(named), "{report}");
    assert_eq!(
        report.matches("FAIL").count(),
        1,
        "once is enough: {report}"
    );
    Ok(())
}

#[tokio::test]
async fn a_command_that_ends_at_once_is_told_as_that_and_tried_once() -> Result<()> {
    let driver = Command::new(binary::find("worker-conformance")?)
        .args(["sh", "-c", "exit 7"])
        .output();
    let output = within("the driver", driver).await??;
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(
        report.contains("its process ended (exit status: 7)"),
        "{report}"
    );
    assert_eq!(report.matches("FAIL").count(), 1, "{report}");
    Ok(())
}

#[tokio::test]
async fn single_scenarios_can_be_chosen_and_what_a_command_starts_ends_with_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let started = folder.path().join("started");
    let script = format!(
        "sleep 1000 & echo $! > {}; \"$0\" \"$1\"",
        started.display()
    );
    let driver = Command::new(binary::find("worker-conformance")?)
        .args([
            "--only",
            "a journal can come in pieces",
            "sh",
            "-c",
            &script,
        ])
        .arg(binary::find("conformance-worker")?)
        .arg("{url}")
        .output();
    let output = within("the scenario", driver).await??;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("1 passed, 0 failed"), "{report}");
    let process = std::fs::read_to_string(started)?;
    let ends = async {
        loop {
            let state = Command::new("ps")
                .args(["-o", "stat=", "-p", process.trim()])
                .output();
            let state = String::from_utf8(state.await?.stdout)?;
            // Gone, or waiting for whoever buries the dead.
            if state.trim().is_empty() || state.starts_with('Z') {
                return anyhow::Ok(());
            }
        }
    };
    within("what it started to end", ends).await??;
    let listed = Command::new(binary::find("worker-conformance")?)
        .arg("--list")
        .output();
    let listed = String::from_utf8(listed.await?.stdout)?;
    assert_eq!(listed.lines().count(), 24, "{listed}");
    Ok(())
}
