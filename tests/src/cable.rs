//! A cable between a client and a service that can be cut without either being told.

use std::sync::Arc;

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

/// What arrives at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    Everything,
    /// Only what the near end says.
    Requests,
    Nothing,
}

/// A TCP proxy. Lives until it is dropped.
#[derive(Debug)]
pub struct Cable {
    url: String,
    carries: Arc<watch::Sender<Carries>>,
    severed: Arc<watch::Sender<u64>>,
    _carrying: JoinSet<()>,
}

impl Cable {
    /// A cable to the service at `address`, `host:port`.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn to(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let carries = Arc::new(watch::Sender::new(Carries::Everything));
        let severed = Arc::new(watch::Sender::new(0));
        let (address, carried, severs) =
            (address.to_owned(), carries.subscribe(), severed.subscribe());
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut ends = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&address).await else {
                    continue;
                };
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                let (to_service, to_client) = ((from_near, to_far), (from_far, to_near));
                for ((from, to), is_request) in [(to_service, true), (to_client, false)] {
                    let (carried, mut severed) = (carried.clone(), severs.clone());
                    severed.mark_unchanged();
                    let passes = move |carries: &Carries| match carries {
                        Carries::Everything => true,
                        Carries::Requests => is_request,
                        Carries::Nothing => false,
                    };
                    ends.spawn(async move {
                        tokio::select! {
                            () = carry(from, to, carried, passes) => {}
                            _ = severed.changed() => {}
                        }
                    });
                }
            }
        });
        Ok(Self {
            url,
            carries,
            severed,
            _carrying: carrying,
        })
    }

    /// The near end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing arrives at the other end; both ends stay open.
    pub fn cut(&self) {
        self.carries.send_replace(Carries::Nothing);
    }

    /// From now on nothing arrives at the near end; what it says still arrives at the service.
    pub fn withhold_answers(&self) {
        self.carries.send_replace(Carries::Requests);
    }

    /// Closes all connections there are. New ones can be made.
    pub fn sever(&self) {
        self.severed.send_modify(|times| *times += 1);
    }

    /// From now on everything arrives again, also what was sent meanwhile.
    pub fn mend(&self) {
        self.carries.send_replace(Carries::Everything);
    }
}

async fn carry(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut carried: watch::Receiver<Carries>,
    passes: impl Fn(&Carries) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if carried.wait_for(&passes).await.is_err() || to.write_all(&buffer[..bytes]).await.is_err()
        {
            return;
        }
    }
}
