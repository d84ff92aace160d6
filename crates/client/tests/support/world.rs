//! A whole sandbox in this process, and clients of it over stores that a test brings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use landbridge::enlist::jwks::{self, Fetched};
use landbridge::enlist::jwt::{Claims, RsaSigner, Token, issue};
use landbridge::enlist::{DeviceKeys, IntegratorId, SignedPreKeyPublic, UserIdentifier, generate_rsa_pem};
use landbridge::noise::PinnedRoot;
use landbridge::proto::signal::{PreKeySignalMessage, SignalMessage};
use landbridge::signal::{IdentityKeyPair, SignedPreKey};
use landbridge::stanza::message::{Enc, EncType, MessageOut};
use landbridge::stanza::{ClientRequest, ClientStanza, Profile};
use landbridge::store::{Account, ClientStore, Enlistment};
use landbridge::transport::HttpClient;
use landbridge::transport::memory::{self, MemoryTransport};
use landbridge::wire::{Jid, xml};
use landbridge::{Client, Direction, Freshness, TokenError, TokenSource, TracedStanza};
use landbridge_sandbox::{EmbeddedSandbox, EnlistKeys, RateLimits, SandboxConfig, SandboxHandle};
use prost::Message as _;

/// The one user.
pub const ALICE: &str = "alice";
const ISSUER: &str = "http://partner.invalid";

/// Slow to make, so there is one per process.
fn signer() -> &'static RsaSigner {
    static SIGNER: OnceLock<RsaSigner> = OnceLock::new();
    SIGNER.get_or_init(|| RsaSigner::from_pkcs8_pem(&generate_rsa_pem(&mut rand::rng()).unwrap()).unwrap())
}

pub struct World {
    sandbox: EmbeddedSandbox,
    transport: MemoryTransport,
    profile: Profile,
    watch: Arc<Mutex<Watch>>,
}

impl World {
    pub fn new(profile: Profile, phones: &[&str]) -> Self {
        let (transport, listener) = memory::pair();
        let config = SandboxConfig {
            rate_limits: RateLimits::Off,
            profile: profile.clone(),
            ..SandboxConfig::default().partner(1, ISSUER)
        };
        let sandbox = EmbeddedSandbox::start(config, listener).unwrap();
        let document = jwks::to_json([signer().public_key()]);
        let answer =
            Fetched::Response { status: 200, etag: None, cache_control: None, body: document.as_bytes() };
        let handle = sandbox.handle();
        handle.partners().get(IntegratorId::ONE).unwrap().fetched(answer, handle.clock().now());
        for number in phones {
            handle.create_phone(number, number).unwrap();
        }
        Self { sandbox, transport, profile, watch: Arc::default() }
    }

    pub fn handle(&self) -> &SandboxHandle {
        self.sandbox.handle()
    }

    /// Makes an account in the store and enlists it.
    pub fn enlist_in(&self, store: &mut dyn ClientStore) -> Jid {
        let (mut rng, now) = (rand::rng(), self.handle().clock().now());
        let identity = IdentityKeyPair::generate(&mut rng);
        let signed = SignedPreKey::generate(1.try_into().unwrap(), &identity, &mut rng);
        let noise_static = landbridge::noise::PrivateKey::generate(&mut rng);
        let public = signed.public();
        let keys = DeviceKeys {
            auth_key: noise_static.public(),
            registration_id: 4711,
            identity_key: *identity.public(),
            signed_prekey: SignedPreKeyPublic {
                id: public.id.get(),
                key: public.key,
                signature: public.signature,
            },
        };
        let name = UserIdentifier::new(ALICE).unwrap();
        let enlisted = self.handle().enlist_user(IntegratorId::ONE, &name, &EnlistKeys::from(&keys)).unwrap();
        let login = enlisted.login.to_string();
        let account = Account {
            identity,
            registration_id: 4711,
            noise_static,
            integrator: 1,
            identifier: ALICE.to_owned(),
            enlistment: Enlistment::Enlisted { login: login.clone(), at: now },
        };
        let mut tx = store.begin().unwrap();
        tx.create_account(&account).unwrap();
        tx.add_signed_prekey(&signed, now).unwrap();
        tx.mark_signed_uploaded(signed.id).unwrap();
        tx.commit().unwrap();
        login.parse().unwrap()
    }

    /// A client over a store that has the account.
    pub fn client(&self, store: impl ClientStore + 'static) -> Client {
        static HTTP: OnceLock<HttpClient> = OnceLock::new();
        let watch = Arc::clone(&self.watch);
        Client::builder()
            .store(store)
            .transport(self.transport.clone())
            .trust(PinnedRoot::new(self.handle().root_key()))
            .token_source(Tokens)
            .http(HTTP.get_or_init(|| HttpClient::builder().build().unwrap()).clone())
            .push_name("Alice")
            .profile(self.profile.clone())
            .trace(move |stanza| watch.lock().unwrap().stanza(&stanza))
            .build()
            .unwrap()
    }

    /// That no client has used a message key for two ciphertexts, or offered a one-time key or an id twice.
    pub fn assert_nothing_used_twice(&self) {
        let watch = self.watch.lock().unwrap();
        assert!(watch.wrong.is_empty(), "{:?}", watch.wrong);
    }

    /// How many message keys and how many one-time keys have gone out.
    pub fn used(&self) -> (usize, usize) {
        let watch = self.watch.lock().unwrap();
        (watch.keys.len(), watch.offered.len())
    }
}

/// What clients have sent.
#[derive(Default)]
struct Watch {
    /// Ratchet key and counter to the ciphertext.
    keys: BTreeMap<(Vec<u8>, u32), Vec<u8>>,
    /// One-time keys of uploads: id to key.
    offered: BTreeMap<u32, [u8; 32]>,
    values: BTreeSet<[u8; 32]>,
    wrong: Vec<String>,
}

impl Watch {
    fn stanza(&mut self, stanza: &TracedStanza) {
        if stanza.direction == Direction::In {
            return;
        }
        let node = xml::parse(&stanza.xml).unwrap();
        match stanza.tag.as_str() {
            "message" => {
                MessageOut::from_node(node.view()).unwrap().encs.iter().for_each(|enc| self.enc(enc))
            }
            "iq" => {
                let profile = Profile::default();
                if let Ok(ClientStanza::Request { request: ClientRequest::UploadKeys(upload), .. }) =
                    ClientStanza::from_node(node.view(), &profile)
                {
                    for key in &upload.prekeys {
                        if self.offered.insert(key.id, key.value).is_some() || !self.values.insert(key.value)
                        {
                            self.wrong.push(format!("one-time key {} was offered twice", key.id));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn enc(&mut self, enc: &Enc) {
        let Some(key) = key_of(enc) else { return self.wrong.push("no Signal message".to_owned()) };
        let old = self.keys.entry(key).or_insert_with(|| enc.ciphertext.clone());
        if *old != enc.ciphertext {
            self.wrong.push("a message key was used for two ciphertexts".to_owned());
        }
    }
}

/// Ratchet key and counter: together they stand for one message key and its IV.
fn key_of(enc: &Enc) -> Option<(Vec<u8>, u32)> {
    let inner = match enc.kind {
        EncType::PreKey => PreKeySignalMessage::decode(enc.ciphertext.get(1..)?).ok()?.message?,
        EncType::Message => enc.ciphertext.clone(),
        _ => return None,
    };
    let message = SignalMessage::decode(inner.get(1..inner.len().checked_sub(8)?)?).ok()?;
    Some((message.ratchet_key?, message.counter?))
}

struct Tokens;

#[async_trait]
impl TokenSource for Tokens {
    async fn token(&self, _freshness: Freshness) -> Result<Token, TokenError> {
        let now = super::now();
        let claims = Claims::user(ISSUER, &UserIdentifier::new(ALICE).unwrap(), now, &mut rand::rng());
        issue(signer(), &claims).map_err(|source| TokenError::Other { source: Box::new(source) })
    }
}
