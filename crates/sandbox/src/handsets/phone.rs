//! A phone and its life.

use std::sync::{Arc, Mutex};

use landbridge_curve::PrivateKey;
use landbridge_proto::content::{self, Context};
use landbridge_signal::{Address, IdentityKeyPair, PreKeyPublic, SignedPreKey, prekeys};
use landbridge_stanza::blocklist::{BlockAction, UpdateBlocklist};
use landbridge_stanza::keys::{self, UploadKeys};
use landbridge_stanza::receipt::ReceiptOut;
use landbridge_stanza::{IqIds, MessageId, ReplyError, Request};
use landbridge_store::{Account, ClientStore, Enlistment, MessageKey, OutState, StoreTx};
use landbridge_wire::{Jid, Node};
use rand::rngs::StdRng;

use super::{PhoneError, PhoneInfo, PhoneMessage, PhoneReceipt};
use crate::router::{Ears, Session};
use crate::state::{State, lock};

/// One-time prekeys of a phone's uploads.
const PREKEYS: usize = 100;
/// Messages that are read from a store at a time.
const PAGE: usize = 256;

/// A test phone.
pub(crate) struct Phone {
    number: String,
    name: String,
    pub(super) session: Arc<Session>,
    pub(super) inner: Mutex<Inner>,
}

/// What one step of a phone at a time may touch.
pub(super) struct Inner {
    pub(super) store: Box<dyn ClientStore>,
    pub(super) ids: IqIds,
    /// Recipient and id of what was sent since the sandbox began.
    pub(super) sent: Vec<(String, String)>,
}

/// What the server must know of a phone.
pub(super) struct OwnKeys {
    pub(super) registration: u32,
    pub(super) identity: [u8; 32],
    pub(super) signed_prekey: keys::SignedPreKey,
}

impl Phone {
    pub(super) fn new(
        number: &str,
        name: &str,
        session: Arc<Session>,
        store: Box<dyn ClientStore>,
        rng: &mut StdRng,
    ) -> Self {
        Self {
            number: number.to_owned(),
            name: name.to_owned(),
            session,
            inner: Mutex::new(Inner { store, ids: IqIds::new(rng), sent: Vec::new() }),
        }
    }

    pub(super) fn info(&self) -> PhoneInfo {
        PhoneInfo { number: self.number.clone(), name: self.name.clone(), jid: self.session.jid.to_string() }
    }

    /// Sends a stanza and gives the first answer.
    pub(super) fn say(&self, state: &State, stanza: &Node) -> Option<Node> {
        state.handle(&self.session, stanza.view()).replies.into_iter().next()
    }

    /// Asks and waits for the answer, which comes at once.
    pub(super) fn ask<R: Request>(
        &self,
        state: &State,
        inner: &mut Inner,
        request: &R,
    ) -> Result<R::Reply, ReplyError> {
        let id = inner.ids.next_id();
        let answer = self.say(state, &request.to_node(&id, state.profile())).unwrap_or_else(|| Node::new("iq"));
        R::parse_reply(answer.view(), state.profile())
    }

    /// Uploads what is not known to be at the server, after making enough of it.
    pub(super) fn upload(&self, state: &State) -> Result<(), PhoneError> {
        let mut inner = lock(&self.inner);
        let mut rng = state.rng();
        let mut tx = inner.store.begin()?;
        if tx.prekey_counts()?.to_upload == 0 {
            let fresh: Vec<_> = (0..PREKEYS).map(|_| PrivateKey::generate(&mut rng)).collect();
            tx.add_prekeys(&fresh)?;
        }
        let offered: Vec<PreKeyPublic> =
            tx.prekeys_to_upload(PREKEYS)?.iter().map(landbridge_signal::PreKey::public).collect();
        let (own, signed) = known_keys(tx.as_mut())?;
        tx.commit()?;
        let upload = UploadKeys {
            registration: own.registration,
            identity: own.identity,
            prekeys: offered.iter().map(|key| keys::PreKey { id: key.id.get(), value: *key.key.as_bytes() }).collect(),
            signed_prekey: own.signed_prekey,
        };
        self.ask(state, &mut inner, &upload).map_err(PhoneError::Answer)?;
        let mut tx = inner.store.begin()?;
        tx.mark_uploaded(&offered.iter().map(|key| key.id).collect::<Vec<_>>())?;
        tx.mark_signed_uploaded(signed.id)?;
        tx.commit()?;
        Ok(())
    }

    pub(crate) fn messages(&self, state: &State) -> Result<Vec<PhoneMessage>, PhoneError> {
        let mut inner = lock(&self.inner);
        let sent = inner.sent.clone();
        let tx = inner.store.begin()?;
        let mut messages = Vec::new();
        let mut after = 0;
        loop {
            let page = tx.unconfirmed(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            messages.extend(page.into_iter().map(|entry| self.received(entry.message, state)));
        }
        for (recipient, id) in sent {
            if let Some(entry) = tx.outgoing(&recipient, &id)? {
                let content = self.content(&entry.message.plaintext, &recipient);
                messages.push(PhoneMessage {
                    direction: "out",
                    id,
                    peer: recipient,
                    t: entry.message.created_at,
                    kind: entry.message.kind,
                    text: content.and_then(|content| content.shown_text().map(str::to_owned)),
                    verdict: None,
                    state: Some(receipt(entry.state)),
                });
            }
        }
        Ok(messages)
    }

    fn received(&self, message: landbridge_store::InboxMessage, _state: &State) -> PhoneMessage {
        let content = self.content(&message.plaintext, &message.key.sender);
        PhoneMessage {
            direction: "in",
            id: message.key.id,
            peer: message.key.sender,
            t: message.t,
            kind: message.kind,
            text: content.as_ref().and_then(|content| content.shown_text().map(str::to_owned)),
            verdict: Some(content.map_or("reject", |content| content.verdict().as_str())),
            state: None,
        }
    }

    fn content(&self, plaintext: &[u8], sender: &str) -> Option<content::Content> {
        let own = self.session.jid.to_string();
        content::decode(plaintext, &Context::direct(sender, &own), &content::Limits::default()).ok()
    }

    pub(crate) fn read(&self, state: &State, from: &Jid, id: &MessageId) -> Result<(), PhoneError> {
        {
            let mut inner = lock(&self.inner);
            let key = MessageKey::direct(from.to_string(), id.as_str());
            inner.store.begin()?.message(&key)?.ok_or(PhoneError::NoSuchMessage)?;
        }
        let receipt = ReceiptOut::read(from.clone(), id.clone(), state.now());
        self.say(state, &receipt.to_node(state.profile()));
        Ok(())
    }

    pub(crate) fn block(&self, state: &State, whom: &Jid, action: BlockAction) -> Result<(), PhoneError> {
        let update = UpdateBlocklist { jid: whom.clone(), action, dhash: None, pn_jid: None };
        let mut inner = lock(&self.inner);
        self.ask(state, &mut inner, &update).map_err(PhoneError::Answer)?;
        Ok(())
    }
}

/// A phone's life: it looks into its mailbox when there may be something in it, until its session ends.
pub(super) async fn live(state: Arc<State>, phone: Arc<Phone>, mut ears: Ears) {
    phone.session.poke();
    loop {
        tokio::select! {
            _ = ears.end.wait_for(Option::is_some) => break,
            () = phone.session.poked() => {}
            // Nobody looks at a test phone to see who types.
            Some(_) = ears.ephemeral.recv() => continue,
        }
        while let Some(entry) = phone.next_mail(&state) {
            phone.take(&state, entry);
            // Others shall have their turn between two messages.
            tokio::task::yield_now().await;
        }
    }
    state.router.detach(&phone.session);
}

/// The keys of a store, made if it has none.
pub(super) fn own_keys(store: &mut dyn ClientStore, jid: &Jid, state: &State) -> Result<OwnKeys, PhoneError> {
    let mut rng = state.rng();
    let mut tx = store.begin()?;
    if tx.account()?.is_none() {
        let identity = IdentityKeyPair::generate(&mut rng);
        tx.create_account(&Account {
            identity: identity.clone(),
            registration_id: prekeys::generate_registration_id(&mut rng),
            noise_static: PrivateKey::generate(&mut rng),
            // A phone belongs to no partner.
            integrator: 0,
            identifier: jid.user_part().to_owned(),
            enlistment: Enlistment::Enlisted { login: jid.to_string(), at: state.now() },
        })?;
        let signed = SignedPreKey::generate(tx.next_signed_prekey_id()?, &identity, &mut rng);
        tx.add_signed_prekey(&signed, state.now())?;
    }
    // The server has none of them: it is a new account there.
    tx.reoffer_all()?;
    let (keys, _) = known_keys(tx.as_mut())?;
    tx.commit()?;
    Ok(keys)
}

/// The keys that a store has.
pub(super) fn known_keys(tx: &mut dyn StoreTx) -> Result<(OwnKeys, SignedPreKey), PhoneError> {
    let account = tx.account()?.ok_or(landbridge_store::StoreError::NoAccount)?;
    let signed = tx.signed_prekeys()?.into_iter().next().ok_or(landbridge_store::StoreError::NoAccount)?.key;
    let public = signed.public();
    let keys = OwnKeys {
        registration: account.registration_id,
        identity: *account.identity.public().as_bytes(),
        signed_prekey: keys::SignedPreKey {
            id: public.id.get(),
            value: *public.key.as_bytes(),
            signature: public.signature,
        },
    };
    Ok((keys, signed))
}

/// The name under which a store keeps a peer: the user part of the address, integrator included.
pub(super) fn address(jid: &Jid) -> Address {
    let text = jid.to_string();
    let user = text.split_once('@').map_or(text.as_str(), |(user, _)| user);
    Address::new(user, 0)
}

fn receipt(state: OutState) -> PhoneReceipt {
    match state {
        OutState::Pending => PhoneReceipt::Pending,
        OutState::Sent => PhoneReceipt::Sent,
        OutState::Failed => PhoneReceipt::Failed,
        OutState::Delivered => PhoneReceipt::Delivered,
        OutState::Read => PhoneReceipt::Read,
        OutState::Played => PhoneReceipt::Played,
    }
}
