//! A way to the partner's server that counts what goes there, and holds it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are passed on at once.
const PIECE: usize = 16 * 1024;

/// Passes connections on. What has passed is counted; beyond a mark, the rest waits.
pub(crate) struct Gate {
    url: String,
    inner: Arc<Inner>,
}

struct Inner {
    to: SocketAddr,
    passed: watch::Sender<u64>,
    mark: watch::Sender<u64>,
    /// How often all connections were cut.
    cuts: watch::Sender<u64>,
}

impl Gate {
    pub(crate) async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            to,
            passed: watch::Sender::new(0),
            mark: watch::Sender::new(u64::MAX),
            cuts: watch::Sender::new(0),
        });
        let kept = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut cuts = kept.cuts.subscribe();
                    tokio::select! {
                        biased;
                        _ = cuts.changed() => {}
                        () = Arc::clone(&kept).pass(client) => {}
                    }
                });
            }
        });
        Self { url, inner }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many bytes have gone to the server.
    pub(crate) fn passed(&self) -> u64 {
        *self.inner.passed.borrow()
    }

    /// So many bytes more may go to the server, and then none.
    pub(crate) fn hold_after(&self, bytes: u64) {
        self.inner.mark.send_replace(self.passed() + bytes);
    }

    /// Ends all connections, and lets later ones through.
    pub(crate) fn cut(&self) {
        self.inner.cuts.send_modify(|cuts| *cuts += 1);
        self.open();
    }

    pub(crate) fn open(&self) {
        self.inner.mark.send_replace(u64::MAX);
    }

    /// Waits until so much has gone through as may.
    pub(crate) async fn held(&self) {
        let mark = *self.inner.mark.borrow();
        self.inner.passed.subscribe().wait_for(|passed| *passed >= mark).await.unwrap();
    }
}

impl Inner {
    async fn pass(self: Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(self.to).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let back = tokio::io::copy(&mut from_server, &mut to_client);
        let there = async {
            let mut mark = self.mark.subscribe();
            let mut buffer = vec![0; PIECE];
            loop {
                let passed = || *self.passed.borrow();
                if mark.wait_for(|mark| *mark > passed()).await.is_err() {
                    return;
                }
                match from_client.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => {
                        if to_server.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                        self.passed.send_modify(|passed| *passed += count as u64);
                    }
                }
            }
            // The other direction may have more to say.
            drop(to_server.shutdown().await);
        };
        tokio::join!(there, async { drop(back.await) });
    }
}
