//! What the journal says of an answer with a file: how much of it went, and its hash.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{Method, StatusCode};
use ring::digest::{Context, SHA256};

use crate::events::{EventKind, MediaExchange};
use crate::state::State;

/// Counts and hashes what goes out; writes it to the journal when it is dropped, however the answer ended.
pub(super) struct Ledger {
    state: Arc<State>,
    begun: Instant,
    hash: Context,
    exchange: Option<Box<MediaExchange>>,
}

impl Ledger {
    /// Begins with a request: `path` is what the journal may know of it.
    pub(super) fn new(
        state: &Arc<State>,
        path: String,
        method: &Method,
        part: bool,
        integrator: Option<u32>,
    ) -> Self {
        let exchange = Box::new(MediaExchange {
            path,
            method: method.to_string(),
            part,
            integrator,
            status: 0,
            bytes: 0,
            body_sha256: String::new(),
            whole: false,
            millis: 0,
        });
        let (state, begun, hash) = (Arc::clone(state), Instant::now(), Context::new(&SHA256));
        Self { state, begun, hash, exchange: Some(exchange) }
    }

    /// What the journal calls the file.
    pub(super) fn path(&self) -> &str {
        self.exchange.as_ref().map_or("", |exchange| &exchange.path)
    }

    /// The answer begins.
    pub(super) fn answers(&mut self, status: StatusCode) {
        if let Some(exchange) = &mut self.exchange {
            exchange.status = status.as_u16();
        }
    }

    /// So many bytes went out.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        if let Some(exchange) = &mut self.exchange {
            exchange.bytes = exchange.bytes.saturating_add(bytes.len() as u64);
        }
    }

    /// The answer has come to its end.
    pub(super) fn is_whole(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.whole = true;
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let Some(mut exchange) = self.exchange.take() else { return };
        exchange.body_sha256 = crate::state::hex(self.hash.clone().finish().as_ref());
        exchange.millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.state.note(None, None, EventKind::Media(exchange));
    }
}
