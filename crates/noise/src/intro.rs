//! What a client sends before its first frame: optionally the routing pre-intro, always the header.

use thiserror::Error;

/// Longest routing information that is sent or read, in bytes.
///
/// The length field would allow 2^24 − 1; what servers hand out is some ten bytes long. ASSUMED.
pub const MAX_ROUTING_INFO: usize = 4_096;

/// First bytes of the routing pre-intro: "ED", 0, 1. PEERS.
const ROUTING_MAGIC: [u8; 4] = [0x45, 0x44, 0x00, 0x01];

/// Bytes of the pre-intro before the routing information: magic (4), length (3).
const ROUTING_PREFIX: usize = 7;

/// The four header bytes: "WA", protocol version, version of the token dictionary. They are also the prologue of
/// the handshake, so two sides that disagree about them never get past the ServerHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header([u8; 4]);

impl Header {
    /// `57410603`, what web clients send. That interop clients do the same is ASSUMED.
    pub const DEFAULT: Self = Self::new(6, 3);

    /// A header of the given protocol version (6 for web clients, 5 for phones) and dictionary version (3).
    pub const fn new(version: u8, dictionary: u8) -> Self {
        Self([b'W', b'A', version, dictionary])
    }

    /// Takes a header from its four bytes.
    ///
    /// # Errors
    /// [`IntroError::Header`] if they do not begin with "WA".
    pub fn from_bytes(bytes: [u8; 4]) -> Result<Self, IntroError> {
        let [w, a, version, dictionary] = bytes;
        for (position, (expected, got)) in [(b'W', w), (b'A', a)].into_iter().enumerate() {
            if expected != got {
                return Err(IntroError::Header { position, expected, got });
            }
        }
        Ok(Self::new(version, dictionary))
    }

    /// The four bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl Default for Header {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Header and routing information of one connection, sent once and in the same write as the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intro {
    header: Header,
    routing: Option<Vec<u8>>,
}

impl Intro {
    /// A header alone.
    pub const fn new(header: Header) -> Self {
        Self { header, routing: None }
    }

    /// Adds the routing information that the server gave on an earlier connection (`edge_routing`). PEERS.
    ///
    /// # Errors
    /// [`IntroError::RoutingTooLong`] above [`MAX_ROUTING_INFO`].
    pub fn with_routing(self, routing: impl Into<Vec<u8>>) -> Result<Self, IntroError> {
        let routing = routing.into();
        if routing.len() > MAX_ROUTING_INFO {
            return Err(IntroError::RoutingTooLong { limit: MAX_ROUTING_INFO, got: routing.len() });
        }
        Ok(Self { routing: Some(routing), ..self })
    }

    /// The header.
    pub const fn header(&self) -> Header {
        self.header
    }

    /// The routing information; `None` if there is no pre-intro, which is not the same as an empty one.
    pub fn routing(&self) -> Option<&[u8]> {
        self.routing.as_deref()
    }

    /// Appends pre-intro and header to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(routing) = &self.routing {
            // MAX_ROUTING_INFO keeps the length far below 2^24.
            let [_, length @ ..] = (routing.len() as u32).to_be_bytes();
            out.extend_from_slice(&ROUTING_MAGIC);
            out.extend_from_slice(&length);
            out.extend_from_slice(routing);
        }
        out.extend_from_slice(self.header.as_bytes());
    }
}

/// Reads an [`Intro`] from a stream that arrives in pieces of any size. The server's side.
///
/// Give it bytes with [`read`](Self::read) until it returns the intro; what it left in the slice belongs to the
/// first frame. It refuses at the first byte that cannot be part of an intro.
///
/// ```
/// use landbridge_noise::{Header, IntroReader};
/// let mut reader = IntroReader::new(Header::DEFAULT);
/// let mut first: &[u8] = &[0x57, 0x41];
/// assert_eq!(reader.read(&mut first)?, None);
/// let mut second: &[u8] = &[0x06, 0x03, 0x00, 0x00];
/// assert_eq!(reader.read(&mut second)?.map(|intro| intro.header()), Some(Header::DEFAULT));
/// assert_eq!(second, [0x00, 0x00]);
/// # Ok::<(), landbridge_noise::IntroError>(())
/// ```
#[derive(Debug, Clone)]
pub struct IntroReader {
    expected: Header,
    seen: Vec<u8>,
    refused: Option<IntroError>,
}

impl IntroReader {
    /// A reader that takes the one header `expected`, with or without a pre-intro.
    pub const fn new(expected: Header) -> Self {
        Self { expected, seen: Vec::new(), refused: None }
    }

    /// Takes bytes from the front of `input`; `Ok(None)` means that all were taken and more are needed.
    ///
    /// # Errors
    /// [`IntroError`] as soon as a byte does not fit, and again at every later call. The connection is to be closed.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Intro>, IntroError> {
        while let Some((&byte, rest)) = input.split_first() {
            if let Some(error) = self.refused {
                return Err(error);
            }
            *input = rest;
            match self.take(byte) {
                Ok(None) => {}
                Ok(Some(intro)) => return Ok(Some(intro)),
                Err(error) => self.refused = Some(error),
            }
        }
        self.refused.map_or(Ok(None), Err)
    }

    fn take(&mut self, byte: u8) -> Result<Option<Intro>, IntroError> {
        let position = self.seen.len();
        self.seen.push(byte);
        let [magic, rest @ ..] = ROUTING_MAGIC;
        if self.seen.first() != Some(&magic) {
            return self.header_byte(position, 0, None, byte);
        }
        if let Some(&expected) = position.checked_sub(1).and_then(|at| rest.get(at)) {
            return check(position, expected, byte).map(|()| None);
        }
        let Some(&[a, b, c]) = self.seen.get(4..ROUTING_PREFIX) else { return Ok(None) };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > MAX_ROUTING_INFO {
            return Err(IntroError::RoutingTooLong { limit: MAX_ROUTING_INFO, got: length });
        }
        let start = ROUTING_PREFIX + length;
        if position < start {
            return Ok(None);
        }
        let routing = self.seen.get(ROUTING_PREFIX..start).map(<[u8]>::to_vec);
        self.header_byte(position, start, routing, byte)
    }

    fn header_byte(
        &self,
        position: usize,
        start: usize,
        routing: Option<Vec<u8>>,
        byte: u8,
    ) -> Result<Option<Intro>, IntroError> {
        let header = self.expected.as_bytes();
        if let Some(&expected) = header.get(position - start) {
            check(position, expected, byte)?;
        }
        let done = position + 1 >= start + header.len();
        Ok(done.then_some(Intro { header: self.expected, routing }))
    }
}

fn check(position: usize, expected: u8, got: u8) -> Result<(), IntroError> {
    if expected == got { Ok(()) } else { Err(IntroError::Header { position, expected, got }) }
}

/// A connection that does not begin as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntroError {
    /// A byte of header or pre-intro is another one.
    #[error("byte {position} of the connection is {got:#04x}, expected {expected:#04x}")]
    Header {
        /// Offset from the start of the stream, in bytes.
        position: usize,
        /// The byte that belongs there.
        expected: u8,
        /// The byte that was there.
        got: u8,
    },
    /// More routing information than [`MAX_ROUTING_INFO`].
    #[error("routing information of {got} bytes, at most {limit} are taken")]
    RoutingTooLong {
        /// The bound, in bytes.
        limit: usize,
        /// The length given, in bytes.
        got: usize,
    },
}
