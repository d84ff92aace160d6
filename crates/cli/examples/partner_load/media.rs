//! Files out and in.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{Full, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

use crate::Failed;
use crate::load::{self, Http, Load, Sender};
use crate::servers::{Nginx, Partner};

/// What a piece of a file is.
const PIECE: usize = 64 * 1024;

/// Sizes that encrypted files can have: blocks of 16 bytes, and a MAC of 10.
const SIZES: [(&str, u64, usize); 2] = [("1 MB", 1_000_010, 8), ("100 MB", 100_000_010, 2)];

/// GET of the same files from both.
pub(crate) async fn compare(partner: &Partner, nginx: &Nginx, seconds: Duration) -> Result<(), Failed> {
    println!("| GET of | from | HTTP | MB/s | server's ms for a GB | ours of nginx |");
    println!("|---|---|---|---|---|---|");
    for (name, size, at_once) in SIZES {
        let reference = upload(partner, size).await?;
        let file: Vec<u8> = pieces(size).flatten().collect();
        std::fs::write(nginx.files.join(name.replace(' ', "")), file)?;
        for http in [Http::One, Http::Two] {
            let mut costs = [0.0; 2];
            let sides = [
                (&partner.process, partner.addr, format!("/{reference}")),
                (&nginx.process, nginx.addr(http), format!("/media/{}", name.replace(' ', ""))),
            ];
            for ((process, addr, path), cost) in sides.into_iter().zip(&mut costs) {
                let path: &'static str = path.leak();
                let request =
                    move |_| Ok(Request::get(path).header("host", "partner").body(Full::default())?);
                load::run_with(addr, Load::Count(1), http, 1, request).await?;
                let before = process.cpu()?;
                let got = load::run_with(addr, Load::Time(seconds), http, at_once, request).await?;
                *cost = (process.cpu()? - before).as_secs_f64() / got.bytes as f64 * 1e12;
                let rate = got.bytes as f64 / got.took.as_secs_f64() / 1e6;
                println!("| {name} | {} | {http} | {rate:.0} | {cost:.0} |  |", process.name);
            }
            println!("|  |  |  |  |  | **{:.2}** |", costs[1] / costs[0]);
        }
    }
    println!();
    Ok(())
}

/// The most memory that one large file takes on its way in and out.
pub(crate) async fn memory(partner: &Partner, size: u64) -> Result<(), Failed> {
    let size = size / 16 * 16 + 10;
    let rest = partner.process.memory("VmRSS")?;
    partner.process.forget_peak()?;
    let reference = upload(partner, size).await?;
    let up = partner.process.memory("VmHWM")?;
    partner.process.forget_peak()?;
    let mut sender = Sender::connect(partner.addr, Http::One).await?;
    let request = Request::get(format!("/{reference}")).header("host", "partner").body(Full::default())?;
    let came = sender.ask(request).await?;
    let down = partner.process.memory("VmHWM")?;
    println!(
        "a file of {size} bytes (came back: {came}): server's resident memory before {:.1} MB, at most {:.1} MB while it came in, {:.1} MB while it went out",
        mb(rest),
        mb(up),
        mb(down)
    );
    Ok(())
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A file of this size, the same each time.
fn pieces(size: u64) -> impl Iterator<Item = Vec<u8>> + Send {
    let (whole, rest) = (size / PIECE as u64, usize::try_from(size % PIECE as u64).unwrap_or(0));
    (0..whole).map(|n| piece(n, PIECE)).chain((rest > 0).then(|| piece(whole, rest)))
}

fn piece(n: u64, length: usize) -> Vec<u8> {
    let mut piece = vec![0x5a; length];
    for (slot, byte) in piece.iter_mut().zip(n.to_be_bytes()) {
        *slot = byte;
    }
    piece
}

/// Stores a file; gives its reference.
async fn upload(partner: &Partner, size: u64) -> Result<String, Failed> {
    let mut hash = Sha256::new();
    pieces(size).for_each(|piece| hash.update(&piece));
    let hash = URL_SAFE_NO_PAD.encode(hash.finalize());
    let stream = TcpStream::connect(partner.addr).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let frames = pieces(size).map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(piece))));
    let request = Request::put(format!("/v1/media/by-hash/{hash}"))
        .header("host", "partner")
        .header("authorization", "Bearer session0")
        .header("content-type", "application/octet-stream")
        .header("content-length", size)
        .body(StreamBody::new(futures_util::stream::iter(frames)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
    if !status.is_success() {
        return Err(format!("the upload was answered {status}: {}", String::from_utf8_lossy(&body)).into());
    }
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let reference = answer.get("storage_reference").and_then(serde_json::Value::as_str);
    Ok(reference.ok_or("no reference")?.to_owned())
}
