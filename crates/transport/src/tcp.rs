//! TCP.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpStream, lookup_host};

use crate::stream::{Stream, Transport, TransportError};

/// Time allowed for name look-up and connection together, unless set otherwise (ASSUMED, as the peers' clients do).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// TCP to `host:port`, without Nagle's delay: frames are small and each is waited for.
///
/// The name is looked up anew for each stream; its addresses are tried in the resolver's order.
#[derive(Debug, Clone)]
pub struct TcpTransport {
    endpoint: String,
    connect_timeout: Duration,
}

impl TcpTransport {
    /// A transport to `host:port`, for example `g.whatsapp.net:5222`, `127.0.0.1:5222` or `[::1]:5222`.
    ///
    /// # Errors
    ///
    /// [`TransportError::Endpoint`] if the text has no host or no port in 1..=65535.
    pub fn new(endpoint: impl Into<String>) -> Result<Self, TransportError> {
        let endpoint = endpoint.into();
        let valid = endpoint.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty()
                && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')))
                && port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if !valid {
            return Err(TransportError::Endpoint { endpoint });
        }
        Ok(Self { endpoint, connect_timeout: CONNECT_TIMEOUT })
    }

    /// Changes the time allowed for look-up and connection together. The default is 20 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Where the streams go, as `host:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    async fn connect(&self) -> Result<TcpStream, TransportError> {
        let resolve = |source| TransportError::Resolve { host: self.endpoint.clone(), source };
        let connect = |source| TransportError::Connect { endpoint: self.endpoint.clone(), source };
        let mut last: Option<io::Error> = None;
        for address in lookup_host(&self.endpoint).await.map_err(|e| resolve(Some(e)))? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(connect)?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => connect(error),
            None => resolve(None),
        })
    }
}

#[async_trait]
impl Transport for TcpTransport {
    async fn open(&self) -> Result<Box<dyn Stream>, TransportError> {
        match tokio::time::timeout(self.connect_timeout, self.connect()).await {
            Ok(stream) => Ok(Box::new(stream?)),
            Err(_) => {
                Err(TransportError::TimedOut { endpoint: self.endpoint.clone(), after: self.connect_timeout })
            }
        }
    }
}
