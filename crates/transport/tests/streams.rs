//! TCP and in-memory transports.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use landbridge_transport::{Prefixed, TcpTransport, Transport, TransportError, memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn tcp_opens_one_stream_per_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = TcpTransport::new(listener.local_addr().unwrap().to_string()).unwrap();
    for text in [b"one", b"two"] {
        let (client, server) = tokio::join!(transport.open(), listener.accept());
        client.unwrap().write_all(text).await.unwrap();
        let mut found = Vec::new();
        server.unwrap().0.read_to_end(&mut found).await.unwrap();
        assert_eq!(found, text);
    }
}

#[tokio::test]
async fn tcp_says_why_it_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpTransport::new(listener.local_addr().unwrap().to_string()).unwrap();
    drop(listener);
    assert!(matches!(closed.open().await.err(), Some(TransportError::Connect { .. })));

    let never = TcpTransport::new("127.0.0.1:1").unwrap().connect_timeout(Duration::ZERO);
    assert!(matches!(
        never.open().await.err(),
        Some(TransportError::TimedOut { .. } | TransportError::Connect { .. })
    ));
}

#[test]
fn an_endpoint_has_host_and_port() {
    for good in ["g.whatsapp.net:5222", "127.0.0.1:1", "[::1]:443", "localhost:65535"] {
        assert!(TcpTransport::new(good).is_ok(), "{good}");
    }
    for bad in ["", "localhost", ":5222", "localhost:0", "localhost:65536", "localhost:", "::1:443", "h:+1"] {
        assert!(matches!(TcpTransport::new(bad), Err(TransportError::Endpoint { .. })), "{bad}");
    }
}

#[tokio::test]
async fn memory_ends_as_sockets_do() {
    let (transport, mut listener) = memory::pair();
    let client = transport.clone().open().await.unwrap();
    let mut server = listener.accept().await.unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(server.write_all(b"x").await.is_err());

    drop(transport);
    assert!(listener.accept().await.is_none());

    let (transport, listener) = memory::pair();
    drop(listener);
    assert!(matches!(transport.open().await.err(), Some(TransportError::NoListener)));
}

#[tokio::test]
async fn what_was_put_back_comes_first() {
    let inner: &[u8] = b"world";
    let mut stream = Prefixed::new(b"hello ".to_vec(), std::io::Cursor::new(inner.to_vec()));
    let mut found = String::new();
    stream.read_to_string(&mut found).await.unwrap();
    assert_eq!(found, "hello world");
}
