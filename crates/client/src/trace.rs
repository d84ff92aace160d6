//! Every stanza as it passes, for `--trace` and for measuring. Off unless asked for.

use std::sync::Arc;

use landbridge_wire::{NodeRef, xml};

/// Which way a stanza went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    Out,
    /// From the server to the client.
    In,
}

/// A stanza that passed.
///
/// It holds addresses and ids of people, but no message text: that is encrypted. Treat it as personal data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TracedStanza {
    /// Which way.
    pub direction: Direction,
    /// Bytes on the wire: the sealed frame with its length prefix.
    pub wire_bytes: usize,
    /// The stanza as XML; byte contents are shown as the XML text form of `landbridge-wire` has them.
    pub xml: String,
    /// Tag of the stanza.
    pub tag: String,
    /// Its id, if it has one.
    pub id: Option<String>,
}

/// Where traced stanzas go. Called on the connection's tasks: it must be quick and must not block.
pub type TraceSink = Arc<dyn Fn(TracedStanza) + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct Tracer(Option<TraceSink>);

impl Tracer {
    pub(crate) fn new(sink: Option<TraceSink>) -> Self {
        Self(sink)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn stanza(&self, direction: Direction, wire_bytes: usize, node: NodeRef<'_>) {
        if let Some(sink) = &self.0 {
            sink(TracedStanza {
                direction,
                wire_bytes,
                xml: xml::to_string(node),
                tag: node.tag().into_owned(),
                id: node.attr_str("id").map(Into::into),
            });
        }
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_on() { "Tracer(on)" } else { "Tracer(off)" })
    }
}
