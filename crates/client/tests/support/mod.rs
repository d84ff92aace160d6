//! A chat server that does what a test tells it, and phones to write with. Made of the lower crates alone.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "shared between test files, exported to nobody")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

pub mod partner;
mod phone;
pub mod world;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use landbridge::noise::{
    CertificateAuthority, FrameDecoder, Header, Hello, Intro, IntroReader, Opener, Pattern, PinnedRoot,
    PublicKey, Sealer, ServerHandshake, ServerIdentity, StaticKeyPair, Validity,
};
use landbridge::proto::login::{InteropClaims, LoginClaims, check_login};
use landbridge::signal::{IdentityKeyPair, SignedPreKey};
use landbridge::stanza::blocklist::Blocklist;
use landbridge::stanza::codes::IqErrorCode;
use landbridge::stanza::keys::UploadKeys;
use landbridge::stanza::liveness::Pong;
use landbridge::stanza::stream::Success;
use landbridge::stanza::{ClientRequest, ClientStanza, IqError, Profile, Request};
use landbridge::store::{Account, ClientStore, Enlistment, MemoryStore};
use landbridge::transport::Stream;
use landbridge::transport::memory::{self, MemoryListener, MemoryTransport};
use landbridge::wire::{EncodeOptions, Jid, Limits, Node, decode_payload, encode_payload};
use landbridge::{Client, ClientBuilder, Event, Events, FixedToken};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub use phone::Phone;

pub const OWN: &str = "1-10853634039893@interop";
pub const TOKEN: &str = "e30.e30.c2ln";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub struct Server {
    authority: CertificateAuthority,
    identity: Arc<ServerIdentity>,
    pub trust: PinnedRoot,
    listener: MemoryListener,
    pub transport: MemoryTransport,
    pub profile: Profile,
}

impl Server {
    pub fn new() -> Self {
        let mut rng = rand::rng();
        let validity = Validity::new(now() - 60, now() + 86_400);
        let authority = CertificateAuthority::generate(validity, &mut rng);
        let (transport, listener) = memory::pair();
        Self {
            identity: identity(&authority),
            trust: authority.trust(),
            authority,
            listener,
            transport,
            profile: Profile::default(),
        }
    }

    /// Takes another static key, with certificates under the same root.
    pub fn rekey(&mut self) {
        self.identity = identity(&self.authority);
    }

    /// Changes keys and certificates with another server.
    pub fn swap_keys(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.identity, &mut other.identity);
    }

    /// Forgets streams that nobody has accepted. Clients built before lead nowhere.
    pub fn reopen(&mut self) {
        (self.transport, self.listener) = memory::pair();
    }

    /// A client of this server over a given store.
    pub fn builder(&self, store: impl ClientStore + 'static) -> ClientBuilder {
        Client::builder()
            .store(store)
            .transport(self.transport.clone())
            .trust(self.trust)
            .token_source(FixedToken::new(TOKEN))
            .push_name("Alice")
    }

    /// A client whose account is enlisted.
    pub fn client(&self) -> Client {
        self.builder(enlisted_store()).build().unwrap()
    }

    /// The bare stream of the next connection.
    pub async fn stream(&mut self) -> Box<dyn Stream> {
        self.listener.accept().await.unwrap()
    }

    /// The next connection, after its handshake and before any answer to its login.
    pub async fn accept(&mut self) -> Conn {
        self.try_accept().await.expect("the client shakes hands")
    }

    /// The same, if the client gets that far.
    pub async fn try_accept(&mut self) -> Option<Conn> {
        let mut stream = self.stream().await;
        let mut reader = IntroReader::new(Header::DEFAULT);
        let mut pending = Vec::new();
        let intro = loop {
            let mut input = pending.as_slice();
            let read = reader.read(&mut input).unwrap();
            pending = input.to_vec();
            match read {
                Some(intro) => break intro,
                None if stream.read_buf(&mut pending).await.unwrap_or(0) == 0 => return None,
                None => {}
            }
        };
        let mut decoder = FrameDecoder::new();
        decoder.feed(&pending);
        let handshake = ServerHandshake::new(Arc::clone(&self.identity), intro.header(), &mut rand::rng());
        let hello = frame(&mut stream, &mut decoder).await?;
        let established = match handshake.read(&hello).unwrap() {
            Hello::Answered { state, write } => {
                stream.write_all(&write).await.ok()?;
                let finish = frame(&mut stream, &mut decoder).await?;
                state.read(&finish).unwrap()
            }
            Hello::Resume(decision) => {
                let (established, write) = decision.accept(&[]).unwrap();
                stream.write_all(&write).await.ok()?;
                established
            }
        };
        decoder.switch_to_transport();
        let LoginClaims::Interop(login) = check_login(&established.payload).unwrap() else {
            panic!("a phone")
        };
        Some(Conn {
            stream,
            decoder,
            opener: established.transport.opener,
            sealer: established.transport.sealer,
            client_static: established.client_static,
            pattern: established.pattern,
            intro,
            login,
            profile: self.profile.clone(),
            uploads: Vec::new(),
            batches: Vec::new(),
            blocklist: Blocklist::default(),
            count: 100,
        })
    }

    /// The next connection, logged in and active.
    pub async fn active(&mut self) -> Conn {
        self.try_active().await.expect("the client activates")
    }

    /// The same, if the client gets that far.
    pub async fn try_active(&mut self) -> Option<Conn> {
        let mut conn = self.try_accept().await?;
        conn.send(&Success::at(now()).to_node(&conn.profile)).await;
        loop {
            let stanza = conn.stanza().await?;
            let active =
                matches!(&stanza, ClientStanza::Request { request: ClientRequest::SetActive(_), .. });
            if conn.knows_no_keys(&stanza).await {
                continue;
            }
            if !conn.serve(&stanza).await {
                assert_eq!(stanza, ClientStanza::End, "before active");
                return None;
            }
            if active {
                return Some(conn);
            }
        }
    }

    /// Connects a client and serves its login.
    pub async fn connect(&mut self, client: &Client) -> Conn {
        let (connected, conn) = tokio::join!(Box::pin(client.connect()), Box::pin(self.active()));
        connected.unwrap();
        conn
    }
}

fn identity(authority: &CertificateAuthority) -> Arc<ServerIdentity> {
    let mut rng = rand::rng();
    let keys = StaticKeyPair::generate(&mut rng);
    let chain = authority.issue(keys.public(), Validity::new(now() - 60, now() + 86_400), &mut rng);
    Arc::new(ServerIdentity::new(keys, chain))
}

async fn frame(stream: &mut Box<dyn Stream>, decoder: &mut FrameDecoder) -> Option<Vec<u8>> {
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return Some(frame.to_vec());
        }
        if stream.read_buf(decoder.read_buf()).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

pub struct Conn {
    stream: Box<dyn Stream>,
    decoder: FrameDecoder,
    opener: Opener,
    sealer: Sealer,
    pub client_static: PublicKey,
    pub pattern: Pattern,
    pub intro: Intro,
    pub login: InteropClaims,
    pub profile: Profile,
    pub uploads: Vec<UploadKeys>,
    pub batches: Vec<u32>,
    pub blocklist: Blocklist,
    /// What the server says to a count of keys.
    pub count: u32,
}

impl Conn {
    /// The next payload as the client wrote it; `None` when the client closed.
    pub async fn payload(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(self.opener.open_in_place(frame).unwrap().to_vec());
            }
            if self.stream.read_buf(self.decoder.read_buf()).await.unwrap() == 0 {
                return None;
            }
        }
    }

    pub async fn node(&mut self) -> Option<Node> {
        let payload = self.payload().await?;
        Some(decode_payload(&payload, &Limits::default()).unwrap())
    }

    pub async fn stanza(&mut self) -> Option<ClientStanza> {
        let node = self.node().await?;
        Some(ClientStanza::from_node(node.view(), &self.profile).unwrap())
    }

    /// The next stanza, if it is there already.
    pub async fn stanza_now(&mut self) -> Option<ClientStanza> {
        tokio::time::timeout(std::time::Duration::ZERO, self.stanza()).await.ok().flatten()
    }

    pub async fn send(&mut self, node: &Node) {
        let payload = encode_payload(node, &EncodeOptions::default()).unwrap();
        self.send_payload(&payload).await;
    }

    pub async fn send_payload(&mut self, payload: &[u8]) {
        let mut bytes = Vec::new();
        self.sealer.seal_frame(payload, &mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        // A client that has closed is found out by reading.
        let _closed = self.stream.write_all(bytes).await;
    }

    /// Answers what every server answers. Whether the stanza was such a one.
    pub async fn serve(&mut self, stanza: &ClientStanza) -> bool {
        let profile = self.profile.clone();
        let answer = match stanza {
            ClientStanza::Presence(_) => return true,
            ClientStanza::Ib(landbridge::stanza::ib::Ib::OfflineBatch { count }) => {
                self.batches.push(*count);
                return true;
            }
            ClientStanza::Request { id, request, .. } => match request {
                ClientRequest::SetActive(request) => request.reply_node(&(), id, &profile),
                ClientRequest::UploadKeys(request) => {
                    self.uploads.push((**request).clone());
                    request.reply_node(&(), id, &profile)
                }
                ClientRequest::CountKeys(request) => request.reply_node(&self.count, id, &profile),
                ClientRequest::GetBlocklist(request) => request.reply_node(&self.blocklist, id, &profile),
                ClientRequest::Ping(request) => request.reply_node(&Pong { t: Some(now()) }, id, &profile),
                ClientRequest::Clean(request) => request.reply_node(&(), id, &profile),
                _ => return false,
            },
            _ => return false,
        };
        self.send(&answer).await;
        true
    }

    /// Answers a request for the digest: an upload whose answer was lost has not arrived. Whether it was one.
    pub async fn knows_no_keys(&mut self, stanza: &ClientStanza) -> bool {
        let ClientStanza::Request { id, request: ClientRequest::DigestKeys(_), .. } = stanza else {
            return false;
        };
        self.send(&IqError::new(IqErrorCode::ItemNotFound).to_node(id)).await;
        true
    }

    /// The next stanza that is not everyday business; that is served meanwhile.
    pub async fn next(&mut self) -> ClientStanza {
        loop {
            let stanza = self.stanza().await.expect("the client is there");
            if !self.serve(&stanza).await {
                return stanza;
            }
        }
    }

    /// Serves until the client closes, and closes, too.
    pub async fn until_closed(&mut self) -> Vec<ClientStanza> {
        let mut rest = Vec::new();
        while let Some(stanza) = self.stanza().await {
            if !self.serve(&stanza).await {
                rest.push(stanza);
            }
        }
        // A client that is gone has nothing more to learn.
        let _gone = self.stream.shutdown().await;
        rest
    }

    /// Serves while something is waited for.
    pub async fn serve_while<T>(&mut self, wait: impl Future<Output = T>) -> T {
        let serving = async {
            loop {
                let stanza = self.stanza().await.expect("the client is there");
                assert!(self.serve(&stanza).await, "unexpected: {stanza:?}");
            }
        };
        tokio::select! {
            done = wait => done,
            () = serving => unreachable!("serves for ever"),
        }
    }

    /// Serves while something is waited for, and reads over what needs no answer.
    pub async fn serve_all_while<T>(&mut self, wait: impl Future<Output = T>) -> T {
        let serving = async {
            loop {
                let stanza = self.stanza().await.expect("the client is there");
                self.serve(&stanza).await;
            }
        };
        tokio::select! {
            done = wait => done,
            () = serving => unreachable!("serves for ever"),
        }
    }

    /// Answers the client's fetch of a phone's keys.
    pub async fn serve_keys(&mut self, phone: &mut Phone) -> landbridge::stanza::keys::FetchReason {
        let ClientStanza::Request { id, request: ClientRequest::FetchKeys(request), .. } = self.next().await
        else {
            panic!("no fetch of keys")
        };
        assert!(request.users[0].jid.same_user(&phone.jid));
        let answer = vec![phone.fetched()];
        let node = request.reply_node(&answer, &id, &self.profile);
        self.send(&node).await;
        request.users[0].reason
    }
}

/// A store with an account that is enlisted as [`OWN`].
pub fn enlisted_store() -> MemoryStore {
    let mut store = MemoryStore::new();
    enlist_in(&mut store);
    store
}

pub fn enlist_in(store: &mut dyn ClientStore) {
    let mut rng = rand::rng();
    let identity = IdentityKeyPair::generate(&mut rng);
    let account = Account {
        identity: identity.clone(),
        registration_id: 4711,
        noise_static: landbridge::noise::PrivateKey::generate(&mut rng),
        integrator: 1,
        identifier: "alice".to_owned(),
        enlistment: Enlistment::Enlisted { login: OWN.to_owned(), at: now() },
    };
    let signed = SignedPreKey::generate(1.try_into().unwrap(), &identity, &mut rng);
    let mut tx = store.begin().unwrap();
    tx.create_account(&account).unwrap();
    tx.add_signed_prekey(&signed, now()).unwrap();
    tx.mark_signed_uploaded(signed.id).unwrap();
    tx.commit().unwrap();
}

pub fn own() -> Jid {
    OWN.parse().unwrap()
}

/// The next event that `pick` takes; others are passed over.
pub async fn event<T>(events: &mut Events, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
    loop {
        let event = events.next().await.expect("the client is there");
        if let Some(found) = pick(&event) {
            return found;
        }
    }
}

/// The text of the next message.
pub async fn text(events: &mut Events) -> String {
    event(events, |event| match event {
        Event::Message(message) => Some(message.text().unwrap_or_default().to_owned()),
        _ => None,
    })
    .await
}
