//! The phone: its parts, its beginning, and the way of a stanza to whoever handles it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use landbridge_curve::PrivateKey;
use landbridge_proto::content::Limits;
use landbridge_signal::{
    Address, IdentityKeyPair, PreKeyId, SignedPreKeyId, prekeys::generate_registration_id,
};
use landbridge_stanza::{
    Inbound, IqIds, MessageId, Profile, Request,
    ack::AckOut,
    blocklist::{BlockAction, GetBlocklist},
    codes::NackCode,
    ib::Ib,
    keys::SignedPreKey,
    liveness::SetActive,
};
use landbridge_store::{Account, ClientStore, Enlistment, MemoryStore, StoreTx};
use landbridge_wire::{Jid, Node, NodeRef};
use rand::CryptoRng;
use serde::Serialize;

use super::chat::Screen;
use super::{Direction, Garbage, Output, PhoneError, PhoneMessage, Trouble, keys, retry::Resend};
use crate::events::Rule;

/// A source of randomness of a phone's own.
pub(crate) type PhoneRng = Box<dyn CryptoRng + Send>;

/// A WhatsApp user.
pub(crate) struct Phone {
    pub(super) number: String,
    pub(super) name: String,
    pub(super) jid: Jid,
    pub(super) profile: Profile,
    pub(super) limits: Limits,
    pub(super) store: Box<dyn ClientStore>,
    pub(super) rng: PhoneRng,
    pub(super) ids: IqIds,
    pub(super) screen: Screen,
    /// Requests on their way.
    pub(super) asked: BTreeMap<String, Asked>,
    /// Who has a new identity, so that the next fetch says so.
    pub(super) changed: BTreeSet<Jid>,
    /// When the session with a peer was last begun from a fetched bundle, in unix seconds.
    pub(super) rebuilt: BTreeMap<Jid, u64>,
    /// Peers to whom messages wait for a session.
    pub(super) waiting: BTreeSet<Jid>,
    /// Retry receipts that wait for a bundle.
    pub(super) resends: BTreeMap<Jid, Vec<Resend>>,
    /// Stanzas of the mailbox that were asked for and have not come.
    pub(super) batch_left: u32,
    /// Messages that are to be garbage once they are encrypted.
    pub(super) spoiled: BTreeMap<String, Garbage>,
    /// How often a message was asked for.
    pub(super) asked_again: BTreeMap<(Jid, String), u8>,
    /// The server has refused something for now, which is to be sent again.
    pub(super) again: bool,
}

/// A request on its way to the server.
#[derive(Debug)]
pub(super) enum Asked {
    /// May the mailbox come?
    Active,
    /// Here are keys: ids of the one-time ones, and of the signed one.
    Upload(Vec<PreKeyId>, SignedPreKeyId),
    /// The bundle of a peer.
    Bundle(Jid),
    /// The block list; and a change to be asked for once it is here, and how often that was tried.
    Blocklist(Option<(Jid, BlockAction, u8)>),
    /// A change of the block list; how often it was tried.
    Block(Jid, BlockAction, u8),
}

/// The public part of a phone's keys, as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Registration id.
    pub(crate) registration: u32,
    /// Identity key.
    pub(crate) identity: [u8; 32],
    /// Signed prekey.
    pub(crate) signed_prekey: SignedPreKey,
}

/// A phone, as the control API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhoneInfo {
    /// Number, digits alone.
    pub number: String,
    /// Address.
    pub jid: String,
    /// Name that it shows.
    pub name: String,
    /// Identity key, 64 hex digits.
    pub identity: String,
    /// Registration id.
    pub registration: u32,
    /// Whether it is connected; if not, its mailbox waits.
    pub online: bool,
    /// Whom it has blocked.
    pub blocked: Vec<String>,
    /// Messages on its screen.
    pub messages: usize,
    /// Messages on its screen that were received and not read.
    pub unread: usize,
    /// Number of the screen's last change.
    pub change: u64,
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phone").field("jid", &self.jid).finish_non_exhaustive()
    }
}

impl Phone {
    /// Opens a phone: with the keys in its store, or with new ones if the store is empty. `number` is in international
    /// form without the plus sign; `now` is unix seconds.
    ///
    /// # Errors
    /// [`PhoneError`] if the number is none or the store fails.
    pub(crate) fn open(
        number: &str,
        name: &str,
        mut store: Box<dyn ClientStore>,
        mut rng: PhoneRng,
        profile: Profile,
        now: u64,
    ) -> Result<Self, PhoneError> {
        if !is_number(number) {
            return Err(PhoneError::Number);
        }
        let jid = Jid::user(number);
        let limits = profile.content.limits();
        let mut tx = store.begin()?;
        match tx.account()? {
            Some(account) if account.identifier != number => {
                return Err(PhoneError::Incomplete { what: "account of this number" });
            }
            Some(_) => {}
            None => begin_account(&mut *tx, number, &jid, &mut *rng, now)?,
        }
        let screen = Screen::load(&*tx, &jid, &limits)?;
        tx.commit()?;
        Ok(Self {
            number: number.to_owned(),
            name: name.to_owned(),
            jid,
            limits,
            ids: IqIds::new(&mut *rng),
            profile,
            store,
            rng,
            screen,
            asked: BTreeMap::new(),
            changed: BTreeSet::new(),
            rebuilt: BTreeMap::new(),
            waiting: BTreeSet::new(),
            resends: BTreeMap::new(),
            batch_left: 0,
            spoiled: BTreeMap::new(),
            asked_again: BTreeMap::new(),
            again: false,
        })
    }

    /// Lets go of the store, which is to be removed. The phone is of no use then.
    pub(crate) fn retire(&mut self) {
        self.store = Box::new(MemoryStore::new());
    }

    /// Address.
    pub(crate) fn jid(&self) -> &Jid {
        &self.jid
    }

    /// What the server lists, for the account to be made. The one-time prekeys follow as an upload after
    /// [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails.
    pub(crate) fn identity(&mut self) -> Result<Identity, PhoneError> {
        let tx = self.store.begin()?;
        Ok(Identity {
            registration: tx.registration_id()?,
            identity: *tx.identity_key()?.public().as_bytes(),
            signed_prekey: keys::signed_prekey(&keys::current_signed_prekey(&*tx)?),
        })
    }

    /// A description. The phone takes itself to be online: whoever connects it knows better.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails.
    pub(crate) fn info(&mut self) -> Result<PhoneInfo, PhoneError> {
        let tx = self.store.begin()?;
        let identity = tx.identity_key()?;
        Ok(PhoneInfo {
            number: self.number.clone(),
            jid: self.jid.to_string(),
            name: self.name.clone(),
            identity: hex(identity.public().as_bytes()),
            registration: tx.registration_id()?,
            online: true,
            blocked: tx.blocked()?,
            messages: self.screen.iter().count(),
            unread: self.screen.iter().filter(|line| line.is_unread()).count(),
            change: self.screen.changes(),
        })
    }

    /// The messages on the screen that have changed after change number `after`, in the order of the screen; 0 gives all
    /// of them. And the number of the last change.
    pub(crate) fn messages(&self, after: u64) -> (Vec<PhoneMessage>, u64) {
        (self.screen.since(after), self.screen.changes())
    }

    /// A message on the screen.
    pub(crate) fn message_line(&self, direction: Direction, peer: &Jid, id: &str) -> Option<&PhoneMessage> {
        self.screen.get(direction, &peer.to_string(), id)
    }

    /// Number of the screen's last change.
    pub(crate) fn last_change(&self) -> u64 {
        self.screen.changes()
    }

    /// Whether a user is blocked, as the server last told it.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails.
    pub(crate) fn is_blocked(&mut self, peer: &Jid) -> Result<bool, PhoneError> {
        Ok(self.store.begin()?.is_blocked(&peer.to_string())?)
    }

    /// Begins, or begins anew, as after a login: offers keys, asks for the block list and the mailbox, and sends again
    /// what was not acked. Requests of an earlier connection are forgotten.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails.
    pub(crate) fn connect(&mut self) -> Result<Vec<Output>, PhoneError> {
        self.asked.clear();
        // Their receipts were not acked and come again.
        self.resends.clear();
        self.batch_left = 0;
        let mut out = self.upload_if_needed()?;
        let id = self.ask(Asked::Active);
        out.push(Output::Send(SetActive::Active.to_node(&id, &self.profile)));
        out.push(self.ask_for_blocklist(None));
        out.extend(self.send_again()?);
        Ok(out)
    }

    /// Whether the server has refused something for now: [`send_again`](Self::send_again) is due in a while.
    pub(crate) fn wants_to_send_again(&self) -> bool {
        self.again
    }

    /// Handles a stanza of the server.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails: nothing has changed, the stanza is not acknowledged and must come again.
    pub(crate) fn handle(&mut self, stanza: NodeRef<'_>, now: u64) -> Result<Vec<Output>, PhoneError> {
        let mut out = match Inbound::from_node(stanza, &self.profile) {
            Ok(inbound) => self.dispatch(stanza, inbound, now)?,
            Err(error) => {
                let peer = stanza.attr_jid("from").unwrap_or_else(landbridge_stanza::server_jid);
                let id = stanza.attr_str("id").map(Into::into);
                let trouble =
                    Trouble { peer, id, rule: Rule::STANZA, code: "stanza", detail: error.to_string() };
                let ack = self.ack(stanza, Some(NackCode::Parsing));
                [Output::Trouble(trouble)].into_iter().chain(ack).collect()
            }
        };
        out.extend(self.ask_for_more(stanza));
        Ok(out)
    }

    fn dispatch(
        &mut self,
        stanza: NodeRef<'_>,
        inbound: Inbound,
        now: u64,
    ) -> Result<Vec<Output>, PhoneError> {
        match inbound {
            Inbound::Message(message) => self.message(stanza, &message, now),
            Inbound::Receipt(receipt) => self.receipt(stanza, &receipt, now),
            Inbound::Ack(ack) => self.acked(&ack, now),
            Inbound::Notification(notification) => self.notification(&notification, now),
            Inbound::Reply(reply) => self.replied(stanza, &reply, now),
            Inbound::Ping(ping) => Ok(vec![Output::Send(ping.reply_node())]),
            Inbound::Request(request) => {
                Ok(request.refusal(&self.profile).map(Output::Send).into_iter().collect())
            }
            Inbound::Ib(ib) => Ok(self.mailbox(&ib)),
            Inbound::Unknown(node) => {
                let error = (!node.view().is("call")).then_some(NackCode::UnknownTag);
                Ok(self.ack(stanza, error).into_iter().collect())
            }
            // Logins and ends are the router's affair; typing and presence are not shown.
            _ => Ok(Vec::new()),
        }
    }

    /// The ack of a stanza, if there is one for it.
    pub(super) fn ack(&self, stanza: NodeRef<'_>, error: Option<NackCode>) -> Option<Output> {
        AckOut::answering(stanza, error).map(|ack| Output::Send(ack.to_node(&self.profile)))
    }

    /// Draws the id of a request.
    pub(super) fn ask(&mut self, what: Asked) -> String {
        let id = self.ids.next_id();
        self.asked.insert(id.clone(), what);
        id
    }

    /// Asks for the block list, to change it then if `then` says so.
    pub(super) fn ask_for_blocklist(&mut self, then: Option<(Jid, BlockAction, u8)>) -> Output {
        let id = self.ask(Asked::Blocklist(then));
        Output::Send(GetBlocklist.to_node(&id, &self.profile))
    }

    /// The mailbox has something: ask for a batch.
    fn mailbox(&mut self, ib: &Ib) -> Vec<Output> {
        match ib {
            Ib::OfflinePreview(preview) if preview.count > 0 => self.ask_for_batch().into_iter().collect(),
            Ib::Offline { .. } => {
                self.batch_left = 0;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn ask_for_batch(&mut self) -> Option<Output> {
        let count = self.profile.mailbox.batch?;
        self.batch_left = count;
        Some(Output::Send(Ib::OfflineBatch { count }.to_node(&self.profile)))
    }

    /// Another batch, once the last stanza of this one is handled.
    fn ask_for_more(&mut self, stanza: NodeRef<'_>) -> Option<Output> {
        if self.batch_left == 0 || !stanza.has_attr("offline") {
            return None;
        }
        self.batch_left -= 1;
        if self.batch_left == 0 { self.ask_for_batch() } else { None }
    }
}

pub(super) fn begin_account(
    tx: &mut dyn StoreTx,
    number: &str,
    jid: &Jid,
    rng: &mut (dyn CryptoRng + Send),
    now: u64,
) -> Result<(), PhoneError> {
    let account = Account {
        identity: IdentityKeyPair::generate(rng),
        registration_id: generate_registration_id(rng),
        // A phone lives behind the Noise channel; the store wants a key all the same.
        noise_static: PrivateKey::generate(rng),
        // Numbers of integrators begin at 1.
        integrator: 0,
        identifier: number.to_owned(),
        enlistment: Enlistment::Enlisted { login: jid.to_string(), at: now },
    };
    tx.create_account(&account)?;
    let id = tx.next_signed_prekey_id()?;
    let key = landbridge_signal::SignedPreKey::generate(id, &account.identity, rng);
    Ok(tx.add_signed_prekey(&key, now)?)
}

/// Digits of an international number without its plus sign (ITU-T E.164: 15 at most).
pub(super) fn is_number(number: &str) -> bool {
    (5..=15).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.starts_with('0')
}

/// A public key as text.
pub(super) fn hex(key: &[u8; 32]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name under which a peer's session is kept: the user part of the JID, integrator included (ASSUMED).
pub(super) fn address(peer: &Jid) -> Address {
    match peer.integrator() {
        0 => Address::new(peer.user_part(), 0),
        integrator => Address::new(format!("{integrator}-{}", peer.user_part()), 0),
    }
}

/// An id that was in a stanza or in the store, and therefore has the right length.
pub(super) fn message_id(id: &str) -> Result<MessageId, PhoneError> {
    id.parse().map_err(|_| PhoneError::Incomplete { what: "well-formed message id" })
}

/// A stanza as it is stored.
pub(super) fn encode(node: &Node) -> Result<Vec<u8>, PhoneError> {
    Ok(landbridge_wire::encode(node, &landbridge_wire::EncodeOptions::default())?)
}

/// A stored stanza.
pub(super) fn decode(bytes: &[u8]) -> Result<Node, PhoneError> {
    Ok(landbridge_wire::decode(bytes, &landbridge_wire::Limits::default())?)
}
