//! From nothing to a session: open a stream, shake hands, log in.

mod handshake;
mod known;
pub(crate) mod reader;
pub(crate) mod writer;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use landbridge_enlist::Login;
use landbridge_noise::KnownServer;
use landbridge_proto::handshake::client_payload::ConnectReason;
use landbridge_stanza::Inbound;
use landbridge_stanza::presence::Availability;
use landbridge_stanza::profile::Resume;
use landbridge_stanza::stream::{LoginFailure, Reaction as StreamReaction, StreamError, Success};
use landbridge_store::{Account, Enlistment, Fact, StoreTx};
use landbridge_wire::{Jid, Node};
use tokio::io::{ReadHalf, WriteHalf};

use crate::client::{Inner, Link};
use crate::error::{Ending, Error, Reaction};
use crate::event::Event;
use crate::session::Session;
use crate::token::Freshness;
use landbridge_transport::Stream;

/// Stanzas that are kept if they come before the answer to the login.
const MAX_EARLY: usize = 16;

/// What is waited for after the handshake.
pub(crate) const LOGIN_ANSWER: &str = "answer to the login";

/// How to connect this time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectPlan {
    pub(crate) reason: ConnectReason,
}

impl Default for ConnectPlan {
    fn default() -> Self {
        Self { reason: ConnectReason::UserActivated }
    }
}

/// A login that was accepted.
pub(crate) struct Established {
    pub(crate) read: ReadHalf<Box<dyn Stream>>,
    pub(crate) write: WriteHalf<Box<dyn Stream>>,
    pub(crate) decoder: landbridge_noise::FrameDecoder,
    pub(crate) sealer: landbridge_noise::Sealer,
    pub(crate) opener: landbridge_noise::Opener,
    pub(crate) early: Vec<Node>,
    /// When the token of the login ends, in unix seconds, if it tells.
    pub(crate) token_ends: Option<u64>,
}

/// What the store knows before a login.
struct Before {
    account: Account,
    login: Login,
    own: Jid,
    routing: Option<Vec<u8>>,
    /// The server to resume with, if that is to be tried.
    known: Option<KnownServer>,
    logins: u64,
}

pub(crate) async fn connect(inner: &Arc<Inner>, plan: ConnectPlan) -> Result<(), Error> {
    let opening = Opening::begin(inner)?;
    let result = login(inner, plan).await;
    match &result {
        Ok(_) => {
            inner.failed_logins.store(0, Ordering::Relaxed);
            inner.token_refused.store(false, Ordering::Relaxed);
        }
        Err(error) => {
            inner.failed_logins.fetch_add(1, Ordering::Relaxed);
            note_refusal(inner, error).await?;
        }
    }
    let (session, success) = result?;
    opening.finish(&session);
    session.spawn_life();
    inner.events.push(Event::Connected { server_time: success.t });
    Ok(())
}

/// What a refused login means for the next one.
async fn note_refusal(inner: &Arc<Inner>, error: &Error) -> Result<(), Error> {
    match error.reaction() {
        Reaction::NewToken => inner.token_refused.store(true, Ordering::Relaxed),
        // The server does not know the account, and it was to be deleted: that is done, then.
        Reaction::Reenlist
            if matches!(error, Error::LoginRefused { .. }) && inner.deleting.load(Ordering::Relaxed) =>
        {
            let now = inner.clock.now();
            inner.vault.write(move |tx| tx.wipe_keys(now).map_err(Error::from)).await?;
            inner.deleting.store(false, Ordering::Relaxed);
            // Messages that waited have failed with the account.
            inner.events.moved.notify_waiters();
        }
        Reaction::Reenlist if matches!(error, Error::LoginRefused { .. } | Error::Disconnected { .. }) => {
            crate::account::lapsed(inner).await;
        }
        _ => {}
    }
    Ok(())
}

async fn login(inner: &Arc<Inner>, plan: ConnectPlan) -> Result<(Arc<Session>, Success), Error> {
    let before = read_before(inner).await?;
    let refused = inner.token_refused.load(Ordering::Relaxed);
    let freshness = if refused { Freshness::New } else { Freshness::MayBeCached };
    let token = inner.tokens.token(freshness).await.map_err(|source| Error::Token { source })?;
    let deleting = matches!(before.account.enlistment, Enlistment::Deleting { .. });
    inner.deleting.store(deleting, Ordering::Relaxed);

    let limit = Duration::from_secs(inner.profile.connection.connect_timeout_s);
    let opened = tokio::time::timeout(limit, inner.transport.open()).await;
    let stream = opened.map_err(|_| Error::TimedOut { what: "connection", after: limit })?;
    let mut stream = stream.map_err(|source| Error::Transport { source })?;

    // From here on the server may have the login, whatever becomes of this attempt.
    let unanswered = Unanswered { inner };
    let mut channel = handshake::shake_hands(inner, &mut stream, &before, &token, plan.reason).await?;
    let limit = Duration::from_secs(inner.profile.connection.login_timeout_s);
    let answered = tokio::time::timeout(limit, first_stanzas(inner, &mut stream, &mut channel)).await;
    let answered = answered.map_err(|_| Error::TimedOut { what: LOGIN_ANSWER, after: limit })?;
    if !matches!(answered, Err(Error::Io { .. } | Error::ClosedEarly { .. })) {
        unanswered.answered();
    }
    let (success, early) = answered?;
    keep_facts(inner, &success, before.logins + 1, channel.verified.take()).await?;

    let (read, write) = tokio::io::split(stream);
    let handshake::Channel { decoder, sealer, opener, verified: _ } = channel;
    let token_ends = token.expires_at();
    let established = Established { read, write, decoder, sealer, opener, early, token_ends };
    let session = EndOnDrop(Some(Session::start(inner, before.own, established)));
    if let Some(session) = &session.0 {
        crate::own_keys::before_active(session).await?;
        // Who comes for the mailbox alone is not there for peers.
        let availability = match plan.reason {
            ConnectReason::Push => Availability::Unavailable,
            _ => inner.presence(),
        };
        session.activate(availability).await?;
    }
    session.keep().map(|session| (session, success)).ok_or(Error::NotConnected)
}

async fn read_before(inner: &Inner) -> Result<Before, Error> {
    let forget_routing = inner.failed_logins.load(Ordering::Relaxed) >= 2;
    let resume =
        inner.profile.connection.resume == Resume::On && !inner.resumption_failed.load(Ordering::Relaxed);
    let step = move |tx: &mut dyn StoreTx| {
        let account = tx.account()?.ok_or(Error::NotEnlisted)?;
        let login = match &account.enlistment {
            Enlistment::Prepared => return Err(Error::NotEnlisted),
            Enlistment::Lapsed { .. } => return Err(Error::EnlistmentLapsed),
            Enlistment::Enlisted { login, .. } | Enlistment::Deleting { login, .. } => login.clone(),
        };
        if forget_routing {
            tx.set_fact(Fact::ROUTING_INFO, None)?;
        }
        let unusable = || Error::Setup { what: "the stored login is none", source: None };
        Ok(Before {
            login: login.parse().map_err(|_| unusable())?,
            own: login.parse().map_err(|_| unusable())?,
            routing: tx.fact(Fact::ROUTING_INFO)?,
            known: if resume { known_server(tx)? } else { None },
            logins: number(tx, Fact::LOGIN_COUNT)?.unwrap_or(0),
            account,
        })
    };
    inner.vault.write(step).await
}

/// The stored server. One that does not read is forgotten.
fn known_server(tx: &mut dyn StoreTx) -> Result<Option<KnownServer>, Error> {
    let Some(bytes) = tx.fact(Fact::SERVER_STATIC)? else { return Ok(None) };
    let server = known::from_bytes(&bytes);
    if server.is_none() {
        tx.set_fact(Fact::SERVER_STATIC, None)?;
    }
    Ok(server)
}

fn number(tx: &dyn StoreTx, fact: Fact) -> Result<Option<u64>, Error> {
    let text = tx.fact(fact)?;
    Ok(text.and_then(|text| String::from_utf8(text).ok()).and_then(|text| text.parse().ok()))
}

/// `verified`: the server, if this handshake has shown its certificates.
async fn keep_facts(
    inner: &Inner,
    success: &Success,
    logins: u64,
    verified: Option<KnownServer>,
) -> Result<(), Error> {
    let (now, server_time) = (inner.clock.now(), success.t);
    let resume = inner.profile.connection.resume == Resume::On;
    let step = move |tx: &mut dyn StoreTx| {
        if let Some(t) = server_time {
            let offset = i128::from(t) - i128::from(now);
            tx.set_fact(Fact::CLOCK_OFFSET, Some(offset.to_string().as_bytes()))?;
        }
        tx.set_fact(Fact::LOGIN_COUNT, Some(logins.to_string().as_bytes()))?;
        if let Some(server) = verified.filter(|_| resume) {
            tx.set_fact(Fact::SERVER_STATIC, Some(&known::to_bytes(&server)))?;
        }
        Ok(())
    };
    inner.vault.write(step).await
}

/// Reads until the server has accepted or refused the login. Other stanzas that come first are kept for the session.
async fn first_stanzas(
    inner: &Inner,
    stream: &mut Box<dyn Stream>,
    channel: &mut handshake::Channel,
) -> Result<(Success, Vec<Node>), Error> {
    const BEFORE: &str = LOGIN_ANSWER;
    let disconnected = |ending: Ending| Error::Disconnected { ending: Arc::new(ending) };
    let mut early = Vec::new();
    loop {
        let node =
            reader::take_stanza(inner, &mut channel.decoder, &mut channel.opener).map_err(disconnected)?;
        let Some(node) = node else {
            handshake::read_more(stream, &mut channel.decoder, BEFORE).await?;
            continue;
        };
        match Inbound::from_node(node.view(), &inner.profile) {
            Ok(Inbound::Success(success)) => return Ok((success, early)),
            Ok(Inbound::Failure(failure)) => return Err(refused(inner, failure)),
            Ok(Inbound::StreamError(error))
                if error.reaction(&inner.profile) != StreamReaction::KeepReading =>
            {
                return Err(disconnected(given_up(inner, error)));
            }
            Ok(Inbound::StreamError(StreamError::Unacked { .. })) => {}
            Ok(Inbound::End) => return Err(disconnected(Ending::ServerEnded)),
            _ if early.len() < MAX_EARLY => early.push(node),
            _ => return Err(Error::ClosedEarly { before: BEFORE }),
        }
    }
}

fn refused(inner: &Inner, failure: LoginFailure) -> Error {
    let reaction = public(failure.reaction(&inner.profile));
    Error::LoginRefused { failure: Box::new(failure), reaction }
}

/// The protocol's reaction in the words of this crate.
pub(crate) fn public(reaction: StreamReaction) -> Reaction {
    match reaction {
        StreamReaction::Retry { extra_steps } => {
            Reaction::RetryAfter(Duration::from_secs(1_u64.checked_shl(extra_steps).unwrap_or(300).min(300)))
        }
        StreamReaction::Now => Reaction::RetryAfter(Duration::ZERO),
        StreamReaction::FreshToken => Reaction::NewToken,
        StreamReaction::Enlist => Reaction::Reenlist,
        StreamReaction::Wait { seconds } => Reaction::RetryAfter(Duration::from_secs(seconds)),
        StreamReaction::Yield => Reaction::AskUser,
        _ => Reaction::GiveUp,
    }
}

/// How a connection ends that the server gives up.
pub(crate) fn given_up(inner: &Inner, error: StreamError) -> Ending {
    if error == StreamError::Replaced && inner.take_late_login() {
        return Ending::ReplacedByOurselves;
    }
    Ending::StreamError { error }
}

/// A login that is on its way. If nobody sees its answer, the server may act upon it when another connection is up.
struct Unanswered<'a> {
    inner: &'a Inner,
}

impl Unanswered<'_> {
    fn answered(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let now = tokio::time::Instant::now();
        *self.inner.unanswered_login.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

/// The mark that a connection is being made; taken back if that comes to nothing, however it does.
struct Opening<'a> {
    inner: &'a Inner,
}

impl<'a> Opening<'a> {
    fn begin(inner: &'a Inner) -> Result<Self, Error> {
        let mut link = inner.link();
        match &*link {
            Link::Down(_) => {}
            Link::Up(session) if session.has_ended() => {}
            Link::Opening | Link::Up(_) => return Err(Error::AlreadyConnected),
        }
        *link = Link::Opening;
        Ok(Self { inner })
    }

    fn finish(self, session: &Arc<Session>) {
        *self.inner.link() = Link::Up(Arc::clone(session));
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut link = self.inner.link();
        if matches!(*link, Link::Opening) {
            *link = Link::Down(None);
        }
    }
}

/// A session that nobody has yet: ends if the caller goes away.
struct EndOnDrop(Option<Arc<Session>>);

impl EndOnDrop {
    fn keep(mut self) -> Option<Arc<Session>> {
        self.0.take()
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.end(Ending::Requested);
        }
    }
}
