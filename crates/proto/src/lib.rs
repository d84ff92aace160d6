//! Protobuf messages of the handshake, the login, Signal and end-to-end content, with their rules.

/// Noise handshake, certificate chain and login payload (`proto/handshake.proto`).
pub mod handshake {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/landbridge.handshake.rs"));
}

/// Signal protocol messages, version 3 (`proto/signal.proto`).
pub mod signal {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/landbridge.signal.rs"));
}

/// End-to-end content (`proto/message.proto`).
pub mod message {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/landbridge.message.rs"));
}
