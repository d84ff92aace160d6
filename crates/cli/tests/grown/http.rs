//! One request on a connection of its own, and how it ended.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::{self, Answer};

pub(crate) enum Outcome {
    /// To the end.
    Answered(Answer, Vec<u8>),
    /// Nobody listens there.
    Refused,
    /// It was begun and not answered.
    Broken,
}

pub(crate) async fn call(addr: SocketAddr, line: &str, bearer: &str, kind: &str, body: &[u8]) -> Outcome {
    let Ok(mut stream) = TcpStream::connect(addr).await else { return Outcome::Refused };
    let head = format!(
        "{line} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut bytes = Vec::new();
    let exchange = async {
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        stream.read_to_end(&mut bytes).await
    };
    let is_whole = exchange.await.is_ok();
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n").filter(|_| is_whole) else {
        return Outcome::Broken;
    };
    let (answer, body) = (common::parse(&bytes), bytes[end + 4..].to_vec());
    let announced = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if body.len() == announced { Outcome::Answered(answer, body) } else { Outcome::Broken }
}
