//! A Qdrant server that goes away: calls fail at once and say when to try again, and everything is
//! there when it is back.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
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

/// A way to a server whose answers can be held back: as if it were alive, and hung.
struct Way {
    url: String,
    silent: watch::Sender<bool>,
    _served: JoinSet<()>,
}

impl Way {
    async fn to(server: &QdrantServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = server.url.strip_prefix("http://").unwrap().to_owned();
        let silent = watch::Sender::new(false);
        let silence = silent.subscribe();
        let mut served = JoinSet::new();
        served.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&target).await.unwrap();
                connections.spawn(pass(near, far, silence.clone()));
            }
        });
        Self {
            url,
            silent,
            _served: served,
        }
    }
}

/// Passes on what either side sends; what the far side sends only while it is not silent.
async fn pass(near: TcpStream, far: TcpStream, mut silent: watch::Receiver<bool>) {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let back = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_far.read(&mut bytes).await {
            if silent.wait_for(|silent| !silent).await.is_err()
                || to_near.write_all(&bytes[..read]).await.is_err()
            {
                return;
            }
        }
    };
    // Whichever side goes first ends it for both.
    tokio::select! {
        _ = io::copy(&mut from_near, &mut to_far) => {}
        () = back => {}
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_in_time_while_it_hangs_and_succeed_when_it_answers_again() {
    let server = Arc::new(QdrantServer::double(|_| {}));
    let way = Way::to(&server).await;
    let running = Running::start_on(Some(server.clone()), |config| {
        config.qdrant_url.clone_from(&way.url);
        config.qdrant_timeout = Duration::from_secs(3);
    })
    .await;
    let mut client = running.client.clone();
    client.put(put("a", "kept", r#"{"n":1.0}"#)).await.unwrap();

    way.silent.send_replace(true);
    let [mut one, mut two, mut three] = [(); 3].map(|()| client.clone());
    let hanging = async {
        tokio::join!(
            one.put(put("a", "late", "{}")),
            two.get(get("a", "kept")),
            three.hits(search("a")),
        )
    };
    let (written, read, found) = timeout(PATIENCE, hanging).await.unwrap();
    assert_away(&written.unwrap_err());
    assert_away(&read.unwrap_err());
    assert_away(&found.unwrap_err());

    way.silent.send_replace(false);
    let item = client.get(get("a", "kept")).await.unwrap();
    assert_eq!(value(&item), r#"{"n":1.0}"#);
    client.put(put("a", "late", "{}")).await.unwrap();
    assert_eq!(client.keys(search("a")).await, ["kept", "late"]);
}
