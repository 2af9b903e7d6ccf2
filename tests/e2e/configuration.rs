//! How the services are configured, and what they say if it cannot be.

use std::{fs, net::TcpListener, path::Path};

use anyhow::Result;
use e2e::{
    Launch, Process,
    cluster::{MEMORY, WORKFLOW},
    launch::said,
};
use tempfile::TempDir;

/// A service that takes free ports and keeps its data in `folder`.
fn launch(binary: &'static str, folder: &Path) -> Launch {
    Launch::isolated(binary, &folder.join("log"))
        .flag("--listen", "127.0.0.1:0")
        .flag("--admin-listen", "127.0.0.1:0")
        .flag("--data-dir", folder)
}

#[tokio::test]
async fn flags_win_over_the_environment_over_the_file_over_defaults() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let file = folder.path().join("weft.toml");
    fs::write(
        &file,
        "log = \"debug\"\nlisten = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:1\"\n",
    )?;
    for binary in [MEMORY, WORKFLOW] {
        let dump = Launch::isolated(binary, &folder.path().join("log"))
            .flag("--config", &file)
            .flag("--listen", "127.0.0.1:3")
            .variable("WEFT_LISTEN", "127.0.0.1:2")
            .variable("WEFT_ADMIN_LISTEN", "127.0.0.1:2")
            .argument("--dump-config");
        let output = dump.output().await?;
        assert!(output.status.success(), "{}", said(&output));
        let dumped = String::from_utf8(output.stdout)?;
        for line in [
            r#"listen = "127.0.0.1:3""#,
            r#"admin_listen = "127.0.0.1:2""#,
            r#"log = "debug""#,
            r#"drain_timeout = "25s""#,
        ] {
            assert!(dumped.lines().any(|each| each == line), "{line}: {dumped}");
        }

        let again = folder.path().join("dumped.toml");
        fs::write(&again, &dumped)?;
        let check = Launch::isolated(binary, &folder.path().join("log"))
            .flag("--config", &again)
            .argument("--check-config");
        let output = check.output().await?;
        assert!(
            output.status.success() && output.stdout.is_empty(),
            "{}",
            said(&output)
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_configuration_is_told_in_one_sentence() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let file = folder.path().join("weft.toml");
    fs::write(&file, "data_dri = \"x\"\n")?;
    let file = file.to_string_lossy().into_owned();
    for binary in [MEMORY, WORKFLOW] {
        let start = || launch(binary, folder.path());
        for (wrong, named) in [
            (
                start().flag("--config", &file),
                vec!["data_dri", "data_dir", file.as_str()],
            ),
            (
                start().flag("--config", "nowhere.toml"),
                vec!["nowhere.toml"],
            ),
            (
                start().variable("WEFT_DATA_DRI", "x"),
                vec!["WEFT_DATA_DRI", "WEFT_DATA_DIR"],
            ),
            (
                start().variable("WEFT_SERVER__DRAIN_TIMEOUT", "soon"),
                vec!["WEFT_SERVER__DRAIN_TIMEOUT", "soon"],
            ),
            (start().flag("--log", "lou[d"), vec!["lou[d"]),
        ] {
            let output = wrong.output().await?;
            assert_eq!(output.status.code(), Some(64), "{wrong:?}");
            let said = said(&output);
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(
                named.iter().all(|name| said.contains(name)),
                "{named:?}: {said}"
            );
        }
        let output = start().argument("--data-dri").output().await?;
        assert_eq!(output.status.code(), Some(64));
        assert!(said(&output).contains("--data-dir"), "{}", said(&output));
    }
    Ok(())
}

#[tokio::test]
async fn a_service_starts_in_a_shell_that_is_set_up_for_clients() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    for (binary, dumped) in [
        (MEMORY, "listen = \"127.0.0.1:0\""),
        (WORKFLOW, "memory_url = \"http://localhost:50051\""),
    ] {
        let dump = launch(binary, folder.path())
            .variable("WEFT_MEMORY_URL", "localhost:50051")
            .variable("WEFT_WORKFLOW_URL", "localhost:50052")
            .variable("WEFT_IMPLICIT_HOSTING", "off")
            .argument("--dump-config");
        let output = dump.output().await?;
        assert!(output.status.success(), "{}", said(&output));
        let dump = String::from_utf8(output.stdout)?;
        assert!(dump.lines().any(|line| line == dumped), "{dump}");
    }
    Ok(())
}

#[tokio::test]
async fn check_config_refuses_what_a_start_refuses() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    for (binary, flag, value) in [
        (MEMORY, "--qdrant-url", "127.0.0.1:6334"),
        (MEMORY, "--embedder", "telepathy"),
        (MEMORY, "--index-paths", "a..b"),
        (WORKFLOW, "--default-model", "nobody:x"),
        (WORKFLOW, "--memory-url", "http://a b"),
    ] {
        for check in [false, true] {
            let mut start = launch(binary, folder.path()).flag(flag, value);
            if check {
                start = start.argument("--check-config");
            }
            let output = start.output().await?;
            let said = said(&output);
            assert_eq!(output.status.code(), Some(64), "{flag} {value}: {said}");
            assert!(
                said.contains(value) || said.contains(flag),
                "{flag} {value}: {said}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_secret_is_dumped_nor_said_of_a_url_that_holds_one() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let base_url = "WEFT_PROVIDERS__P__BASE_URL";
    for (binary, name, url) in [
        (WORKFLOW, base_url, "https://host/v1?key=s3cret"),
        (WORKFLOW, base_url, "https://me:s3cret@host/v1"),
        (WORKFLOW, "WEFT_MEMORY_URL", "http://host?key=s3cret"),
        (MEMORY, "WEFT_QDRANT_URL", "http://host:6334?key=s3cret"),
        (MEMORY, "WEFT_EMBEDDER", "http:https://host/v1#s3cret"),
    ] {
        let dump = launch(binary, folder.path()).variable(name, url);
        let output = dump.argument("--dump-config").output().await?;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(64), "{name}={url}: {said}");
        assert!(
            said.contains("no user name, no password, no query"),
            "{said}"
        );
        let shown = format!("{}{said}", String::from_utf8_lossy(&output.stdout));
        assert!(!shown.contains("s3cret"), "{name}={url}: {shown}");
    }
    let dump = launch(WORKFLOW, folder.path())
        .variable(base_url, "https://host/v1")
        .variable("WEFT_PROVIDERS__P__API_KEY", "s3cret")
        .variable("WEFT_PROVIDERS__P__HEADERS__X_KEY", "t0psecret");
    let output = dump.argument("--dump-config").output().await?;
    let dumped = String::from_utf8(output.stdout)?;
    assert!(dumped.contains("https://host/v1"), "{dumped}");
    assert!(
        !dumped.contains("s3cret") && !dumped.contains("t0psecret"),
        "{dumped}"
    );
    Ok(())
}

#[tokio::test]
async fn both_services_can_share_one_environment() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let dumps = [MEMORY, WORKFLOW].map(|binary| {
        Launch::isolated(binary, &folder.path().join("log")).argument("--dump-config")
    });
    let mut keys = Vec::new();
    for dump in &dumps {
        let output = dump.output().await?;
        let dumped = String::from_utf8(output.stdout)?;
        let of_its_own = dumped.lines().take_while(|line| !line.starts_with('['));
        keys.extend(of_its_own.filter_map(|line| {
            let (key, value) = line.split_once(" = ")?;
            Some((
                format!("WEFT_{}", key.to_uppercase()),
                value.trim_matches('"').to_owned(),
            ))
        }));
    }
    assert!(keys.len() > 8, "{keys:?}");
    // Empty ones are unset ones; lists are written otherwise.
    keys.retain(|(_, value)| !value.is_empty() && !value.starts_with('['));
    for dump in dumps {
        let shared = keys
            .iter()
            .fold(dump, |dump, (name, value)| dump.variable(name, value));
        let output = shared.output().await?;
        assert!(output.status.success(), "{}", said(&output));
    }
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_changes_it() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for binary in [MEMORY, WORKFLOW] {
        for flag in ["--listen", "--admin-listen"] {
            let any = if flag == "--listen" {
                "--admin-listen"
            } else {
                "--listen"
            };
            let start = Launch::isolated(binary, &folder.path().join("log"))
                .flag("--data-dir", folder.path())
                .flag(any, "127.0.0.1:0")
                .flag(flag, &address);
            let output = start.output().await?;
            assert_eq!(output.status.code(), Some(1));
            let said = said(&output);
            assert!(
                said.contains(&address) && said.contains(&format!("`{flag}`")),
                "{said}"
            );
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_data_folder_in_use_is_refused_by_name() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    for binary in [MEMORY, WORKFLOW] {
        let start = launch(binary, folder.path());
        let first = Process::start(&start).await?;
        let output = start.output().await?;
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert!(said.contains(&*folder.path().to_string_lossy()), "{said}");
        assert!(said.contains("use"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        first.terminate().await?;
    }
    Ok(())
}
