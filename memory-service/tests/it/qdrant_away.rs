//! A Qdrant server that goes away: calls fail at once and say when to try again, and everything is
//! there when it is back.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    qdrant_server::QdrantServer,
    support::{Calls as _, Running, assert_status, get, put, search, value},
};

/// As long as anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn assert_away(status: &Status) {
    assert_status(status, Code::Unavailable, "STORE_UNAVAILABLE");
    let retry = status.get_details_retry_info().unwrap();
    assert!(retry.retry_delay.is_some_and(|delay| !delay.is_zero()));
}

/// Waits until `/readyz` answers with this status.
async fn readiness_becomes(running: &Running, expected: &str) {
    let becomes = async {
        loop {
            let mut connection = TcpStream::connect(running.admin).await.unwrap();
            connection
                .write_all(b"GET /readyz HTTP/1.0\r\n\r\n")
                .await
                .unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            if answer.split(' ').nth(1) == Some(expected) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, becomes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_at_once_while_it_is_away_and_succeed_when_it_is_back() {
    let server = Arc::new(QdrantServer::double(|_| {}));
    let running = Running::replica(&server).await;
    let mut client = running.client.clone();
    let kept = client.put(put("a", "kept", r#"{"n":1.0}"#)).await.unwrap();
    readiness_becomes(&running, "200").await;

    server.stop().await;
    let away = async {
        assert_away(&client.put(put("a", "lost", "{}")).await.unwrap_err());
        assert_away(&client.get(get("a", "kept")).await.unwrap_err());
        assert_away(&client.hits(search("a")).await.unwrap_err());
    };
    timeout(PATIENCE, away).await.unwrap();
    readiness_becomes(&running, "503").await;

    server.start_again();
    readiness_becomes(&running, "200").await;
    let item = client.get(get("a", "kept")).await.unwrap();
    assert_eq!((value(&item), &item.etag), (r#"{"n":1.0}"#, &kept.etag));
    client.put(put("a", "new", "{}")).await.unwrap();
    assert_eq!(client.keys(search("a")).await.len(), 2);
}
