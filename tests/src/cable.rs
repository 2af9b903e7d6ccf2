//! A cable between a client and a service that can be cut without either being told.

use std::sync::Arc;

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

/// A TCP proxy. Lives until it is dropped.
#[derive(Debug)]
pub struct Cable {
    url: String,
    is_cut: Arc<watch::Sender<bool>>,
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
        let is_cut = Arc::new(watch::Sender::new(false));
        let severed = Arc::new(watch::Sender::new(0));
        let (address, cut, severs) = (address.to_owned(), is_cut.subscribe(), severed.subscribe());
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut ends = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&address).await else {
                    continue;
                };
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                for (from, to) in [(from_near, to_far), (from_far, to_near)] {
                    let (cut, mut severed) = (cut.clone(), severs.clone());
                    severed.mark_unchanged();
                    ends.spawn(async move {
                        tokio::select! {
                            () = carry(from, to, cut) => {}
                            _ = severed.changed() => {}
                        }
                    });
                }
            }
        });
        Ok(Self {
            url,
            is_cut,
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
        self.is_cut.send_replace(true);
    }

    /// Closes all connections there are. New ones can be made.
    pub fn sever(&self) {
        self.severed.send_modify(|times| *times += 1);
    }

    /// From now on everything arrives again, also what was sent meanwhile.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn carry(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut cut: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if cut.wait_for(|is_cut| !is_cut).await.is_err()
            || to.write_all(&buffer[..bytes]).await.is_err()
        {
            return;
        }
    }
}
