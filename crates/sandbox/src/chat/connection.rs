//! One connection, from the socket to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landbridge_noise::{Established, Opener, Pattern, Sealer};
use landbridge_stanza::liveness::{ServerPing, SetActive};
use landbridge_stanza::stream::{self, StreamError, Success};
use landbridge_wire::{EncodeOptions, Jid, Limits, Node, NodeRef};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::delivery::Delivery;
use super::frames::{FrameReader, SocketError};
use super::handshake;
use super::listener::{Guest, ReadHalf, WriteHalf};
use super::mischief::{self, Fate, Mischief};
use crate::events::{Direction, EventKind, Rule};
use crate::faults::Fault;
use crate::login::pattern_name;
use crate::router::{Ears, End, Finish, Place, Session};
use crate::state::{State, chain};

/// Bytes of a frame around its plaintext: length prefix and tag.
const FRAME_OVERHEAD: usize = 19;

/// Why a connection is over, for the journal.
type Over = String;

/// Runs a connection and writes its end to the journal.
pub(super) async fn run(state: Arc<State>, id: u64, guest: Guest, mut stop: watch::Receiver<bool>) {
    let Guest { peer: _, reader, writer } = guest;
    let mut link = Link { reader: FrameReader::new(reader), writer, fate: Fate::Close };
    let reason = serve(&state, id, &mut link, &mut stop).await;
    match link.fate {
        // The client sees the end and closes, too; or does not, and is left alone.
        Fate::Close => {
            if link.writer.shutdown().await.is_ok() {
                link.reader.linger().await;
            }
        }
        Fate::Reset => link.writer.reset(),
        Fate::HalfOpen => tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = link.reader.swallow(state.config.fault_times.half_open) => {}
        },
    }
    state.note(Some(id), None, EventKind::Disconnected { reason });
}

async fn serve(state: &Arc<State>, id: u64, link: &mut Link, stop: &mut watch::Receiver<bool>) -> Over {
    if state.faults.refuses() {
        state.injected(Fault::HandshakeRefused, Some(id), None, None, "closed before the first byte");
        link.fate = Fate::Reset;
        return SocketError::Injected.to_string();
    }
    let established = tokio::select! {
        biased;
        established = handshake::accept(state, id, &mut link.reader, &mut link.writer) => established,
        _ = stop.changed() => return "the sandbox stops".to_owned(),
    };
    let established = match established {
        Ok(established) => established,
        Err(error) => {
            let reason = chain(&error);
            if let Some(rule) = error.rule() {
                state.broken(Some(id), None, rule, reason.clone());
            }
            return reason;
        }
    };
    let Established { transport, client_static, payload, pattern } = established;
    let mut channel = Channel {
        state: Arc::clone(state),
        id,
        user: None,
        mischief: None,
        link,
        sealer: transport.sealer,
        opener: transport.opener,
        options: state.profile().wire.encode_options(),
        limits: state.profile().wire.limits(),
    };
    // Its place is that of its coming: one whose judgement takes long does not push out one that came later.
    let place = state.next_login();
    let admitted = tokio::select! {
        biased;
        admitted = state.login(id, &payload, &client_static) => admitted,
        _ = stop.changed() => return "the sandbox stops".to_owned(),
    };
    drop(payload);
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(failure) => {
            let reason = failure.reason.map_or(0, |reason| reason.number());
            let sent = channel.finish(&failure.to_node(state.profile())).await;
            return sent.map_or_else(|error| chain(&error), |()| format!("login refused with {reason}"));
        }
    };
    let (session, ears) = Session::new(id, place, admitted.user.id, admitted.user.jid.clone());
    channel.user = Some(admitted.user.jid);
    let mut talk = Talk {
        channel,
        session,
        ears,
        delivery: Delivery::default(),
        heard: Instant::now(),
        pinged: false,
        look: false,
        present: false,
        authkey: admitted.user.authkey,
        name: admitted.name,
    };
    let kind = EventKind::LoggedIn { pattern: pattern_name(pattern), version: admitted.version };
    state.note(Some(id), Some(&talk.session.jid), kind);
    // A resumed connection may be a replay of an old one: it must not push the real one out, nor keep the account
    // alive, before it has shown that it holds the keys.
    let over = talk.run(pattern != Pattern::Ik, admitted.passive, stop).await;
    state.detach(&talk.session);
    if talk.present
        && let Err(error) = state.db.write(|tx| tx.seen(talk.session.user, state.now(), None))
    {
        state.internal("the end of a connection could not be noted", &error);
    }
    over
}

/// A socket.
struct Link {
    reader: FrameReader<ReadHalf>,
    writer: WriteHalf,
    /// How it will leave.
    fate: Fate,
}

/// A socket with its keys.
struct Channel<'l> {
    state: Arc<State>,
    id: u64,
    /// Who is logged in.
    user: Option<Jid>,
    /// What is done to all that is sent, once there are faults. In a box: most connections have none.
    mischief: Option<Box<Mischief>>,
    link: &'l mut Link,
    sealer: Sealer,
    opener: Opener,
    options: EncodeOptions,
    limits: Limits,
}

impl Channel<'_> {
    /// Writes stanzas in one go, unless a fault wants it otherwise.
    async fn send(&mut self, stanzas: &[Node]) -> Result<(), SocketError> {
        if self.mischief.is_none() {
            if !self.state.faults.any() {
                return self.write(stanzas).await;
            }
            let mischief = Mischief::new(&self.state, self.id, self.user.clone());
            self.mischief = Some(Box::new(mischief));
        }
        let Some(mischief) = &mut self.mischief else { return Ok(()) };
        let stanzas = mischief.arrange(stanzas);
        let held = mischief.take_held();
        let bytes = self.seal(held, &stanzas)?;
        let bytes = match &mut self.mischief {
            Some(mischief) if self.link.fate == Fate::Close => mischief.hold(bytes),
            _ => Some(bytes),
        };
        self.write_bytes(&bytes.unwrap_or_default()).await
    }

    /// Writes a last stanza and what still waits. Nothing is done to it.
    async fn finish(&mut self, stanza: &Node) -> Result<(), SocketError> {
        if self.link.fate != Fate::Close {
            return Err(SocketError::Injected);
        }
        let held = self.mischief.take().map(|mut mischief| mischief.take_held());
        let bytes = self.seal(held.unwrap_or_default(), std::slice::from_ref(stanza))?;
        self.write_bytes(&bytes).await
    }

    /// Writes what has waited long enough.
    async fn flush(&mut self) -> Result<(), SocketError> {
        let now = Instant::now();
        let Some(mischief) = &mut self.mischief else { return Ok(()) };
        let due = mischief.take_due(now);
        if due.is_empty() && !mischief.is_held_due(now) {
            return Ok(());
        }
        self.write(&due).await
    }

    async fn write(&mut self, stanzas: &[Node]) -> Result<(), SocketError> {
        let held = self.mischief.as_mut().map(|mischief| mischief.take_held());
        let bytes = self.seal(held.unwrap_or_default(), stanzas)?;
        self.write_bytes(&bytes).await
    }

    /// Appends stanzas to bytes that are sealed already.
    fn seal(&mut self, mut bytes: Vec<u8>, stanzas: &[Node]) -> Result<Vec<u8>, SocketError> {
        for stanza in stanzas {
            // What cannot be encoded or sealed is a fault of the sandbox, not of this client: say so and go on.
            let payload = match landbridge_wire::encode_payload(stanza, &self.options) {
                Ok(payload) => payload,
                Err(error) => {
                    self.state.internal("a stanza cannot be encoded", &error);
                    continue;
                }
            };
            let start = bytes.len();
            if let Err(error) = self.sealer.seal_frame(&payload, &mut bytes) {
                self.state.internal("a frame cannot be sealed", &error);
                return Err(SocketError::Closed);
            }
            let fate = self.mischief.as_mut().and_then(|mischief| mischief.frame(&mut bytes, start));
            if let Some(fate) = fate {
                self.link.fate = fate;
                break;
            }
            self.trace(Direction::Out, payload.len(), stanza.view());
        }
        Ok(bytes)
    }

    async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let mut written = Ok(());
        if !bytes.is_empty() {
            let limit = self.state.config.chat.write;
            written = mischief::write(&self.state, self.id, &mut self.link.writer, bytes, limit).await;
        }
        if written.is_ok() && self.link.fate != Fate::Close {
            written = Err(SocketError::Injected);
        }
        if written.is_err() {
            self.sealer.poison();
        }
        written
    }

    fn trace(&self, direction: Direction, bytes: usize, stanza: NodeRef<'_>) {
        if self.state.trace.load(Ordering::Relaxed) {
            let xml = landbridge_wire::xml::to_string(stanza);
            let kind = EventKind::Stanza { direction, bytes, frame: bytes + FRAME_OVERHEAD, xml };
            self.state.note(Some(self.id), None, kind);
        }
    }
}

/// A connection whose login was accepted.
struct Talk<'l> {
    channel: Channel<'l>,
    session: Arc<Session>,
    ears: Ears,
    delivery: Delivery,
    /// When the last frame came.
    heard: Instant,
    /// Whether the silence since then was answered with a ping.
    pinged: bool,
    /// Whether there may be something to send from the mailbox.
    look: bool,
    /// Whether the account counts as connected here.
    present: bool,
    /// The static key of this connection, as it was enlisted.
    authkey: Option<[u8; 32]>,
    name: Option<String>,
}

/// What makes a connection act.
enum Turn {
    Frame(Result<Vec<u8>, SocketError>),
    Mail,
    Whisper(Node),
    End(End),
    Time,
}

impl Talk<'_> {
    async fn run(&mut self, certain: bool, passive: bool, stop: &mut watch::Receiver<bool>) -> Over {
        let state = Arc::clone(&self.channel.state);
        if certain && let Err(over) = self.be_present(&state).await {
            return over;
        }
        let mut first = vec![Success::at(state.now()).to_node(state.profile())];
        if !passive {
            match self.set_mode(&state, SetActive::Active) {
                Ok(announcement) => first.extend(announcement),
                Err(over) => return over,
            }
        }
        if let Err(error) = self.channel.send(&first).await {
            return chain(&error);
        }
        loop {
            if let Err(over) = self.deliver(&state).await {
                return over;
            }
            let turn = self.turn(&state, stop).await;
            let step = match turn {
                Turn::Frame(Ok(frame)) => self.frame(&state, frame).await,
                Turn::Frame(Err(error)) => {
                    if let SocketError::Frame(_) = &error {
                        state.broken(
                            Some(self.channel.id),
                            Some(&self.session.jid),
                            Rule::FRAME,
                            chain(&error),
                        );
                    }
                    Err(chain(&error))
                }
                Turn::Mail => {
                    self.look = true;
                    Ok(())
                }
                Turn::Whisper(stanza) => self.channel.send(&[stanza]).await.map_err(|error| chain(&error)),
                Turn::End(end) => Err(self.end(end).await),
                Turn::Time => self.time(&state).await,
            };
            if let Err(over) = step {
                return over;
            }
        }
    }

    async fn turn(&mut self, state: &State, stop: &mut watch::Receiver<bool>) -> Turn {
        let deadline = self.deadline(state);
        let Ears { ephemeral, end } = &mut self.ears;
        tokio::select! {
            // Ends go first: a client that never stops talking can still be told to go.
            biased;
            ended = end.wait_for(Option::is_some) => {
                Turn::End(ended.ok().and_then(|end| *end).unwrap_or(End::Shutdown))
            }
            _ = stop.changed() => Turn::End(End::Shutdown),
            () = tokio::time::sleep_until(deadline) => Turn::Time,
            frame = self.channel.link.reader.frame() => Turn::Frame(frame),
            () = self.session.poked() => Turn::Mail,
            Some(stanza) = ephemeral.recv() => Turn::Whisper(stanza),
        }
    }

    fn deadline(&self, state: &State) -> Instant {
        let liveness = &state.profile().liveness;
        let silence = if self.pinged { liveness.server_close_after_s } else { liveness.server_ping_after_s };
        let silent_at = self.heard + Duration::from_secs(silence);
        let overdue = self.delivery.overdue_at(state.config.chat.unacked);
        let mischief = self.channel.mischief.as_ref().and_then(|mischief| mischief.due());
        [overdue, mischief].into_iter().flatten().fold(silent_at, Instant::min)
    }

    /// From now on this is the account's connection.
    async fn be_present(&mut self, state: &State) -> Result<(), Over> {
        self.present = true;
        let name = self.name.take();
        let seen = state.db.write(|tx| tx.seen(self.session.user, state.now(), name.as_deref()));
        if let Err(error) = seen {
            state.internal("a login could not be noted", &error);
            return Err("the sandbox failed".to_owned());
        }
        match state.attach(&self.session) {
            Place::Free => {}
            Place::TakenOver => {
                state.note(Some(self.channel.id), Some(&self.session.jid), EventKind::Replaced);
            }
            Place::Taken => return Err(self.give_up(StreamError::Replaced).await),
        }
        // The account may have been deleted, or enlisted with another key, since the login was judged. Whoever does that
        // from now on finds this connection at the router.
        match state.db.read(|tx| tx.user_by_id(self.session.user)) {
            Ok(Some(user)) if user.authkey == self.authkey => {
                state.push_by_chance(&user);
                Ok(())
            }
            Ok(_) => Err("the account has changed since the login".to_owned()),
            Err(error) => {
                state.internal("an account cannot be read", &error);
                Err("the sandbox failed".to_owned())
            }
        }
    }

    fn set_mode(&mut self, state: &State, mode: SetActive) -> Result<Option<Node>, Over> {
        match mode {
            SetActive::Active => {
                self.session.set_active(true);
                self.look = true;
                self.delivery.activate(state, &self.session).map_err(|error| {
                    state.internal("a mailbox cannot be read", &error);
                    "the sandbox failed".to_owned()
                })
            }
            SetActive::Passive => {
                self.session.set_active(false);
                self.delivery.pause();
                Ok(None)
            }
        }
    }

    /// Sends what may be sent of the mailbox.
    async fn deliver(&mut self, state: &State) -> Result<(), Over> {
        if !std::mem::take(&mut self.look) {
            return Ok(());
        }
        loop {
            let stanzas = match self.delivery.next(state, &self.session) {
                Ok(stanzas) => stanzas,
                Err(error) => {
                    state.internal("a mailbox cannot be read", &error);
                    return Err("the sandbox failed".to_owned());
                }
            };
            if stanzas.is_empty() {
                return Ok(());
            }
            let stanzas = state.twice(stanzas);
            self.channel.send(&stanzas).await.map_err(|error| chain(&error))?;
        }
    }

    async fn frame(&mut self, state: &State, mut frame: Vec<u8>) -> Result<(), Over> {
        let (id, jid) = (self.channel.id, self.session.jid.clone());
        let plaintext = match self.channel.opener.open_in_place(&mut frame) {
            Ok(plaintext) => plaintext,
            Err(error) => {
                state.broken(Some(id), Some(&jid), Rule::TRANSPORT, chain(&error));
                return Err(chain(&error));
            }
        };
        let bytes = plaintext.len();
        if !self.present {
            self.be_present(state).await?;
        }
        (self.heard, self.pinged) = (Instant::now(), false);
        let stanza = match landbridge_wire::decode_payload_ref(plaintext, &self.channel.limits) {
            Ok(stanza) => stanza,
            Err(error) => {
                state.broken(Some(id), Some(&jid), Rule::PAYLOAD, chain(&error));
                return Err(self.give_up(StreamError::NotWellFormed).await);
            }
        };
        self.channel.trace(Direction::In, bytes, stanza.view());
        let outcome = state.handle(&self.session, stanza.view());
        drop(stanza);
        self.delivery.taken(&outcome.taken);
        if let Some(count) = outcome.credit {
            self.delivery.grant(count, state, &self.session);
        }
        // What was taken or asked for makes room for more.
        self.look |= outcome.credit.is_some() || !outcome.taken.is_empty();
        let mut replies = outcome.replies;
        if let Some(mode) = outcome.mode {
            replies.extend(self.set_mode(state, mode)?);
        }
        self.channel.send(&replies).await.map_err(|error| chain(&error))?;
        match outcome.finish {
            None => Ok(()),
            Some(Finish::ByClient) => {
                let _ = self.channel.finish(&stream::end_node()).await;
                Err("the client ended the stream".to_owned())
            }
            Some(Finish::ByServer(why)) => {
                let _ = self.channel.finish(&stream::end_node()).await;
                Err(why.to_owned())
            }
            Some(Finish::Error(error)) => Err(self.give_up(error).await),
        }
    }

    /// Sends a stream error, if it can still be sent.
    async fn give_up(&mut self, error: StreamError) -> Over {
        let stanza = error.to_node(self.channel.state.profile());
        let reason = format!("ended with {}", landbridge_wire::xml::to_string(stanza.view()));
        // The connection is over either way.
        let _ = self.channel.finish(&stanza).await;
        reason
    }

    async fn end(&mut self, end: End) -> Over {
        match end {
            // To a client that was enlisted elsewhere with another key the account is in other hands, too.
            End::Replaced | End::KeyChanged => self.give_up(StreamError::Replaced).await,
            End::Removed => self.give_up(StreamError::Removed { code: Some(401) }).await,
            End::Shutdown => {
                let _ = self.channel.finish(&stream::end_node()).await;
                "the sandbox stops".to_owned()
            }
        }
    }

    async fn time(&mut self, state: &State) -> Result<(), Over> {
        let now = Instant::now();
        let (id, jid) = (self.channel.id, self.session.jid.clone());
        self.channel.flush().await.map_err(|error| chain(&error))?;
        let end = self.channel.mischief.as_mut().and_then(|mischief| mischief.stream_end(now));
        if let Some(error) = end {
            return Err(self.give_up(error).await);
        }
        if let Some(error) = self.delivery.overdue(now, state.config.chat.unacked) {
            let detail = format!("{error:?}");
            state.broken(Some(id), Some(&jid), Rule::UNACKED, detail);
            return Err(self.give_up(error).await);
        }
        let liveness = &state.profile().liveness;
        let silence = now.duration_since(self.heard);
        if silence >= Duration::from_secs(liveness.server_close_after_s) {
            let detail = format!("silent for {} s, and the ping was not answered", silence.as_secs());
            state.broken(Some(id), Some(&jid), Rule::SILENCE, detail.clone());
            let _ = self.channel.finish(&stream::end_node()).await;
            return Err(detail);
        }
        if !self.pinged && silence >= Duration::from_secs(liveness.server_ping_after_s) {
            self.pinged = true;
            let ping = ServerPing::new(format!("s-{}", self.channel.sealer.counter()));
            self.channel.send(&[ping.to_node(state.profile())]).await.map_err(|error| chain(&error))?;
        }
        Ok(())
    }
}
