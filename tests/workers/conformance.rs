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
    assert!(
        report.contains("FAIL  it says hello and waits for its welcome: it does not host"),
        "{report}"
    );
    assert!(
        report.contains("FAIL  a session that is resumed goes on"),
        "{report}"
    );
    Ok(())
}
