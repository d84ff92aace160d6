//! A world with one sandbox and one partner, and a client that speaks to the sandbox's socket by itself.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test uses a part; what cannot go on fails"
)]

pub mod chat;
pub mod partner;

use std::net::SocketAddr;
use std::sync::OnceLock;

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_enlist::jwks::{self, Fetched};
use landbridge_enlist::jwt::{self, Claims, RsaSigner};
use landbridge_enlist::{IntegratorId, UserIdentifier};
use landbridge_noise::{
    ClientFinish, ClientHandshake, FrameDecoder, Intro, KnownServer, Opener, PinnedRoot, Sealer,
    StaticKeyPair,
};
use landbridge_proto::login::InteropLogin;
use landbridge_sandbox::events::{Event, EventKind};
use landbridge_sandbox::{Clock, EnlistKeys, Sandbox, SandboxConfig};
use landbridge_signal::{
    IdentityKeyPair, MemorySignalStore, PreKeyId, SignedPreKey, SignedPreKeyId, prekeys,
};
use landbridge_stanza::keys::{self, UploadKeys};
use landbridge_stanza::liveness::SetActive;
use landbridge_stanza::{Inbound, IqIds, Profile, ReplyError, Request};
use landbridge_wire::{EncodeOptions, Jid, Limits, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The partner's number and issuer. Nobody listens there: the key set is put in by hand.
pub const INTEGRATOR: u16 = 1;
pub const ISSUER: &str = "http://127.0.0.1:9";
/// When the tests begin.
pub const NOW: u64 = 1_800_000_000;

/// One RSA key for all tests of a process: making one takes a while.
pub fn signer() -> &'static RsaSigner {
    static SIGNER: OnceLock<RsaSigner> = OnceLock::new();
    SIGNER.get_or_init(|| {
        RsaSigner::from_pkcs8_pem(&landbridge_enlist::generate_rsa_pem(&mut rand::rng()).unwrap()).unwrap()
    })
}

pub struct World {
    pub sandbox: Sandbox,
    /// In a box: it is large, and futures hold it again and again.
    pub profile: Box<Profile>,
    /// Issuer of the partner's tokens.
    pub issuer: String,
}

impl World {
    pub async fn new() -> Self {
        Self::with(config()).await
    }

    pub async fn with(config: SandboxConfig) -> Self {
        let (profile, issuer) = (Box::new(config.profile.clone()), config.partners[0].1.clone());
        let sandbox = Sandbox::start(config).await.unwrap();
        let world = Self { sandbox, profile, issuer };
        world.publish_keys();
        world
    }

    /// Puts the partner's key set in, as if it had been fetched now.
    pub fn publish_keys(&self) {
        let set = jwks::to_json([signer().public_key()]);
        let answer = Fetched::Response { status: 200, etag: None, cache_control: None, body: set.as_bytes() };
        self.sandbox.handle().partners().get(integrator()).unwrap().fetched(answer, self.now());
    }

    pub fn now(&self) -> u64 {
        self.sandbox.handle().clock().now()
    }

    /// Enlists a user with new keys.
    pub fn enlist(&self, identifier: &str) -> Account {
        let account = Account::new(identifier);
        self.enlist_again(account)
    }

    /// Enlists with the keys that the account has.
    pub fn enlist_again(&self, mut account: Account) -> Account {
        let identifier: UserIdentifier = account.identifier.parse().unwrap();
        let enlisted = self.sandbox.handle().enlist_user(integrator(), &identifier, &account.keys()).unwrap();
        account.jid = enlisted.login.to_string().parse().unwrap();
        account
    }

    pub fn token(&self, identifier: &str) -> String {
        let claims =
            Claims::user(self.issuer.as_str(), &identifier.parse().unwrap(), self.now(), &mut rand::rng());
        jwt::issue(signer(), &claims).unwrap().as_str().to_owned()
    }

    pub fn payload(&self, account: &Account) -> InteropLogin {
        InteropLogin::new(account.number(), self.token(&account.identifier))
    }

    /// Connects and shakes hands, and gives the first stanza.
    pub async fn connect(&self, keys: &StaticKeyPair, payload: &[u8]) -> (Client, Option<Node>) {
        let mut client = self.handshake(keys, payload).await;
        let first = client.receive().await;
        (client, first)
    }

    pub async fn handshake(&self, keys: &StaticKeyPair, payload: &[u8]) -> Client {
        let (addr, root) = (self.sandbox.chat_addr(), self.sandbox.root_key());
        connect_to(addr, root, self.profile.clone(), keys, payload, self.now()).await
    }

    /// Connects, logs in, uploads keys if the account has none there, becomes active and reads the mailbox's end.
    pub async fn log_in(&self, account: &mut Account) -> Client {
        let mut client = self.log_in_passive(account).await;
        if !account.uploaded {
            client.ask(&account.upload(20)).await.unwrap();
            account.uploaded = true;
        }
        client.activate().await;
        client
    }

    pub async fn log_in_passive(&self, account: &Account) -> Client {
        let (client, first) = self.connect(&account.noise, &self.payload(account).encode()).await;
        let first = first.unwrap();
        assert!(first.view().is("success"), "{first}");
        client
    }

    pub fn events(&self) -> Vec<Event> {
        self.sandbox.handle().events(0)
    }

    /// Details of the broken rules, in order.
    pub fn broken(&self) -> Vec<String> {
        self.events()
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::Broken { rule, detail } => Some(format!("[{}] {detail}", rule.section)),
                _ => None,
            })
            .collect()
    }

    /// Waits for an event, past or to come.
    pub async fn wait(&self, wanted: impl FnMut(&Event) -> bool) -> Event {
        self.sandbox.handle().wait_for(0, wanted).await
    }
}

pub fn config() -> SandboxConfig {
    let mut config = SandboxConfig::default().partner(INTEGRATOR, ISSUER);
    config.clock = Clock::manual(NOW);
    config
}

pub fn integrator() -> IntegratorId {
    IntegratorId::new(INTEGRATOR).unwrap()
}

/// A partner's user: all of its keys.
#[derive(Clone)]
pub struct Account {
    pub identifier: String,
    pub jid: Jid,
    pub noise: StaticKeyPair,
    pub store: MemorySignalStore,
    pub identity: IdentityKeyPair,
    pub registration: u32,
    pub signed: SignedPreKey,
    pub uploaded: bool,
    pub next_prekey: PreKeyId,
}

impl Account {
    pub fn new(identifier: &str) -> Self {
        let rng = &mut rand::rng();
        let identity = IdentityKeyPair::generate(rng);
        let registration = prekeys::generate_registration_id(rng);
        let signed = SignedPreKey::generate(SignedPreKeyId::new(1).unwrap(), &identity, rng);
        let mut store = MemorySignalStore::new(identity.clone(), registration);
        store.add_signed_prekey(signed.clone());
        Self {
            identifier: identifier.to_owned(),
            jid: Jid::interop(INTEGRATOR, 0),
            noise: StaticKeyPair::new(PrivateKey::generate(rng)),
            store,
            identity,
            registration,
            signed,
            uploaded: false,
            next_prekey: PreKeyId::new(1).unwrap(),
        }
    }

    pub fn number(&self) -> u64 {
        self.jid.user_part().parse().unwrap()
    }

    pub fn keys(&self) -> EnlistKeys {
        EnlistKeys {
            authkey: *self.noise.public().as_bytes(),
            registration: self.registration,
            identity: *self.identity.public().as_bytes(),
            signed_prekey: self.wire_signed(),
        }
    }

    pub fn wire_signed(&self) -> keys::SignedPreKey {
        let public = self.signed.public();
        keys::SignedPreKey { id: public.id.get(), value: *public.key.as_bytes(), signature: public.signature }
    }

    /// An upload of new one-time prekeys.
    pub fn upload(&mut self, count: usize) -> UploadKeys {
        let fresh = prekeys::generate(self.next_prekey, count, &mut rand::rng());
        for _ in 0..count {
            self.next_prekey = self.next_prekey.next();
        }
        let public = fresh.iter().map(|key| key.public()).collect::<Vec<_>>();
        self.store.add_prekeys(fresh);
        UploadKeys {
            registration: self.registration,
            identity: *self.identity.public().as_bytes(),
            prekeys: public
                .iter()
                .map(|key| keys::PreKey { id: key.id.get(), value: *key.key.as_bytes() })
                .collect(),
            signed_prekey: self.wire_signed(),
        }
    }
}

/// Connects and shakes hands.
pub async fn connect_to(
    addr: SocketAddr,
    root: PublicKey,
    profile: Box<Profile>,
    keys: &StaticKeyPair,
    payload: &[u8],
    now: u64,
) -> Client {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let (state, write) = ClientHandshake::new(keys.clone(), Intro::default(), &mut rand::rng()).xx().unwrap();
    socket.write_all(&write).await.unwrap();
    let mut decoder = FrameDecoder::new();
    let hello = read_frame(&mut socket, &mut decoder).await.unwrap();
    let state = state.read(&hello, &PinnedRoot::new(root), now).unwrap();
    let ClientFinish { write, transport, .. } = state.finish(payload).unwrap();
    socket.write_all(&write).await.unwrap();
    decoder.switch_to_transport();
    Client::new(socket, decoder, transport.sealer, transport.opener, profile)
}

/// Shakes hands, and leaves before the login, to learn the server's key.
pub async fn learn(world: &World, account: &Account) -> KnownServer {
    let trust = PinnedRoot::new(world.sandbox.root_key());
    let mut socket = TcpStream::connect(world.sandbox.chat_addr()).await.unwrap();
    let handshake = ClientHandshake::new(account.noise.clone(), Intro::default(), &mut rand::rng());
    let (state, write) = handshake.xx().unwrap();
    socket.write_all(&write).await.unwrap();
    let mut decoder = FrameDecoder::new();
    let hello = read_frame(&mut socket, &mut decoder).await.unwrap();
    let ClientFinish { server, .. } =
        state.read(&hello, &trust, NOW).unwrap().finish(&world.payload(account).encode()).unwrap();
    server.known().clone()
}

/// A client on a socket.
pub struct Client {
    pub socket: TcpStream,
    decoder: FrameDecoder,
    pub sealer: Sealer,
    opener: Opener,
    profile: Box<Profile>,
    ids: IqIds,
    /// Stanzas that came while an answer was waited for.
    pub waiting: std::collections::VecDeque<Node>,
}

impl Client {
    pub fn new(
        socket: TcpStream,
        decoder: FrameDecoder,
        sealer: Sealer,
        opener: Opener,
        profile: Box<Profile>,
    ) -> Self {
        let ids = IqIds::new(&mut rand::rng());
        Self { socket, decoder, sealer, opener, profile, ids, waiting: Default::default() }
    }

    pub async fn send(&mut self, stanza: &Node) {
        let payload = landbridge_wire::encode_payload(stanza, &EncodeOptions::default()).unwrap();
        self.send_payload(&payload).await;
    }

    /// A frame with any plaintext.
    pub async fn send_payload(&mut self, payload: &[u8]) {
        let mut frame = Vec::new();
        self.sealer.seal_frame(payload, &mut frame).unwrap();
        self.socket.write_all(&frame).await.unwrap();
    }

    /// The next stanza, or nothing if the server has closed.
    pub async fn receive(&mut self) -> Option<Node> {
        if let Some(stanza) = self.waiting.pop_front() {
            return Some(stanza);
        }
        self.read().await
    }

    async fn read(&mut self) -> Option<Node> {
        let mut frame = read_frame(&mut self.socket, &mut self.decoder).await?;
        let payload = self.opener.open_in_place(&mut frame).unwrap();
        Some(landbridge_wire::decode_payload(payload, &Limits::default()).unwrap())
    }

    /// The next stanza as a client understands it.
    pub async fn inbound(&mut self) -> Inbound {
        let stanza = self.receive().await.expect("the server has closed");
        Inbound::from_node(stanza.view(), &self.profile).unwrap()
    }

    /// The next stanza with a tag; others are kept for later.
    pub async fn next(&mut self, tag: &str) -> Node {
        if let Some(at) = self.waiting.iter().position(|stanza| stanza.view().is(tag)) {
            return self.waiting.remove(at).unwrap();
        }
        loop {
            let stanza = self.read().await.expect("the server has closed");
            if stanza.view().is(tag) {
                return stanza;
            }
            self.waiting.push_back(stanza);
        }
    }

    /// Asks and waits for the answer.
    pub async fn ask<R: Request>(&mut self, request: &R) -> Result<R::Reply, ReplyError> {
        let id = self.ids.next_id();
        self.send(&request.to_node(&id, &self.profile.clone())).await;
        loop {
            let stanza = self.next("iq").await;
            if stanza.view().attr_str("id").is_some_and(|answered| answered == id) {
                return R::parse_reply(stanza.view(), &self.profile);
            }
        }
    }

    /// Becomes active, and reads on until the mailbox is empty. What it held is kept.
    pub async fn activate(&mut self) {
        self.ask(&SetActive::Active).await.unwrap();
        loop {
            let ib = self.next("ib").await;
            if ib.view().child("offline").is_some() {
                return;
            }
        }
    }

    /// Waits for the server to close, and gives what it said until then.
    pub async fn rest(&mut self) -> Vec<Node> {
        let mut rest = Vec::new();
        while let Some(stanza) = self.receive().await {
            rest.push(stanza);
        }
        rest
    }
}

pub async fn read_frame(socket: &mut TcpStream, decoder: &mut FrameDecoder) -> Option<Vec<u8>> {
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return Some(frame.to_vec());
        }
        // A reset is as good as an end here.
        match socket.read_buf(decoder.read_buf()).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Reads until the server closes.
pub async fn read_all(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes).await;
    bytes
}

pub async fn raw(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

pub fn public(bytes: [u8; 32]) -> PublicKey {
    PublicKey::from_bytes(bytes)
}
