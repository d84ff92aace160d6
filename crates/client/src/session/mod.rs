//! One logged-in connection: requests and their answers, what goes out, how it ends.

mod keepalive;
mod pending;
mod route;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use landbridge_stanza::ib::Ib;
use landbridge_stanza::liveness::{Ping, SetActive};
use landbridge_stanza::presence::{Availability, PresenceOut};
use landbridge_stanza::{IqIds, MessageId, ReplyError, Request};
use landbridge_wire::{Jid, Node, encode_payload};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::client::{Inner, Link, RoundTrip};
use crate::connection::writer::Outgoing;
use crate::connection::{Established, reader, writer};
use crate::error::{Ending, Error, Reaction};
use crate::messages::retry::RetryJob;
use crate::trail::Written;
use crate::typing::Typing;
use pending::Pending;

/// Payloads that wait to be written before their senders wait.
const OUT_QUEUE: usize = 256;
/// Retry requests that wait to be answered; more are left to the server, which repeats them.
const RETRY_QUEUE: usize = 64;
/// Messages that are sent again on one connection at most.
const MAX_RESENDS: usize = 1_024;

pub(crate) struct Session {
    pub(crate) inner: Arc<Inner>,
    /// The account's own address.
    pub(crate) own: Jid,
    out: mpsc::Sender<Outgoing>,
    pending: Pending,
    ids: Mutex<IqIds>,
    ending: OnceLock<Arc<Ending>>,
    /// Told once there is an ending. Wakes in the order of asking, so that a run can be repeated.
    over: Notify,
    /// The writer has said its last word.
    silent: watch::Sender<bool>,
    last_heard: Mutex<Instant>,
    pub(crate) outbox_news: Notify,
    pub(crate) owed_news: Notify,
    /// Answers that were owed have been written.
    pub(crate) owed_settled: Notify,
    /// What the trail of messages does not tell yet.
    pub(crate) written: Written,
    pub(crate) retries: mpsc::Sender<RetryJob>,
    retry_jobs: Mutex<Option<mpsc::Receiver<RetryJob>>>,
    mailbox: Mutex<Mailbox>,
    /// Peers to whom everything that waits is to go out, from the oldest message on.
    released: Mutex<BTreeSet<String>>,
    /// The connection is to be tried now.
    pub(crate) probe: Notify,
    /// When the token of the login ends, in unix seconds, if it tells.
    token_ends: Option<u64>,
    pub(crate) typing: Typing,
    /// How often messages were sent again on this connection because the server asked for it.
    resends: Mutex<HashMap<MessageId, usize>>,
}

/// How far the delivery of the mailbox has got.
#[derive(Default)]
struct Mailbox {
    /// Stanzas since the server was asked for a batch; `None` while none is under way.
    since_asked: Option<u32>,
}

impl Session {
    /// Begins to read and to write.
    pub(crate) fn start(inner: &Arc<Inner>, own: Jid, established: Established) -> Arc<Self> {
        let (out, queue) = mpsc::channel(OUT_QUEUE);
        let (retries, retry_jobs) = mpsc::channel(RETRY_QUEUE);
        let session = Arc::new(Self {
            inner: Arc::clone(inner),
            own,
            out,
            pending: Pending::default(),
            ids: Mutex::new(IqIds::new(&mut inner.rng.fork())),
            ending: OnceLock::new(),
            over: Notify::new(),
            silent: watch::Sender::new(false),
            last_heard: Mutex::new(Instant::now()),
            outbox_news: Notify::new(),
            owed_news: Notify::new(),
            owed_settled: Notify::new(),
            written: Written::default(),
            retries,
            retry_jobs: Mutex::new(Some(retry_jobs)),
            mailbox: Mutex::new(Mailbox::default()),
            released: Mutex::new(BTreeSet::new()),
            probe: Notify::new(),
            token_ends: established.token_ends,
            typing: Typing::default(),
            resends: Mutex::new(HashMap::new()),
        });
        let Established { read, write, decoder, sealer, opener, early, token_ends: _ } = established;
        let (left, unread) = oneshot::channel();
        tokio::spawn(writer::run(Arc::clone(&session), queue, sealer, write, unread));
        tokio::spawn(reader::run(Arc::clone(&session), read, decoder, opener, early, left));
        session
    }

    /// Lets the server deliver the mailbox and what is live.
    pub(crate) async fn activate(&self, availability: Availability) -> Result<(), Error> {
        self.request("activation", &SetActive::Active).await?;
        self.tell_presence(availability).await
    }

    pub(crate) async fn tell_presence(&self, availability: Availability) -> Result<(), Error> {
        let name = self.inner.push_name.clone();
        let presence = match availability {
            Availability::Available => PresenceOut::Available { name },
            Availability::Unavailable => PresenceOut::Unavailable { name },
        };
        self.send(&presence.to_node(&self.inner.profile)).await
    }

    /// Everything that goes on beside reading and writing, from the moment the client is reachable until the end.
    pub(crate) fn spawn_life(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).supervise());
        self.spawn(keepalive::run);
        self.spawn(crate::messages::outbox::run);
        self.spawn(crate::media::uploads::run);
        self.spawn(crate::receipts::run);
        self.spawn(crate::typing::run);
        self.spawn(crate::account::after_active);
        self.spawn(crate::own_keys::grow_old);
        let ends = self.token_ends;
        self.spawn(move |session| crate::token::keep_fresh(session, ends));
        let jobs = self.retry_jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(jobs) = jobs {
            self.spawn(move |session| crate::messages::retry::run(session, jobs));
        }
    }

    /// Runs a piece of work that ends with the session, and whose failure ends the session.
    pub(crate) fn spawn<F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let session = Arc::clone(self);
        let work = work(Arc::clone(self));
        tokio::spawn(async move {
            let outcome = tokio::select! {
                biased;
                _ = session.ended() => Ok(()),
                outcome = work => outcome,
            };
            match outcome {
                Ok(()) | Err(Error::Disconnected { .. } | Error::NotConnected) => {}
                Err(Error::Store { source }) => session.end(Ending::Store { source }),
                Err(error) => tracing::warn!(error = error.for_log(), "a task of the connection gave up"),
            }
        });
    }

    async fn supervise(self: Arc<Self>) {
        let ending = self.ended().await;
        self.pending.clear();
        {
            let mut link = self.inner.link();
            if matches!(&*link, Link::Up(session) if Arc::ptr_eq(session, &self)) {
                *link = Link::Down(Some(Arc::clone(&ending)));
            }
        }
        if ending.reaction() == Reaction::NewToken {
            self.inner.token_refused.store(true, Ordering::Relaxed);
        }
        if ending.reaction() == Reaction::Reenlist {
            crate::account::lapsed(&self.inner).await;
        }
        tracing::debug!(ending = %ending, "the connection ended");
        self.all_stop_typing();
        crate::client::disconnected(&self.inner, ending);
        self.keep_written().await;
    }

    /// Ends the session. The first reason counts.
    pub(crate) fn end(&self, ending: Ending) {
        if self.ending.set(Arc::new(ending)).is_ok() {
            self.over.notify_waiters();
        }
        self.pending.clear();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ending.get().is_some()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> Arc<Ending> {
        loop {
            // Registered before looking, so that an end in between wakes us up.
            let mut over = std::pin::pin!(self.over.notified());
            over.as_mut().enable();
            if let Some(ending) = self.ending.get() {
                return Arc::clone(ending);
            }
            over.await;
        }
    }

    /// Nothing more will be written, and the server has closed, or had the time to.
    pub(crate) fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    /// Waits until all is written and the server has closed, or has had the time to.
    pub(crate) async fn written_out(&self) {
        // The sender lives in `self`, so this ends with the value and not with an error.
        let mut silent = self.silent.subscribe();
        let _told = silent.wait_for(|silent| *silent).await.is_ok();
    }

    async fn gone(&self) -> Error {
        Error::Disconnected { ending: self.ended().await }
    }

    /// Notes that the server was heard of.
    pub(crate) fn heard(&self) {
        *self.last_heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last_heard(&self) -> Instant {
        *self.last_heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a stanza to the writer.
    pub(crate) async fn send(&self, node: &Node) -> Result<(), Error> {
        let payload = encode_payload(node, &self.inner.encode_options)?;
        self.put(Outgoing { payload, written: None }).await
    }

    /// Hands an encoded stanza to the writer and waits until it is written.
    pub(crate) async fn write(&self, payload: Vec<u8>) -> Result<(), Error> {
        let (told, written) = oneshot::channel();
        self.put(Outgoing { payload, written: Some(told) }).await?;
        match written.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.gone().await),
        }
    }

    /// Hands an encoded stanza to the writer.
    pub(crate) async fn queue(&self, payload: Vec<u8>) -> Result<(), Error> {
        self.put(Outgoing { payload, written: None }).await
    }

    async fn put(&self, outgoing: Outgoing) -> Result<(), Error> {
        if self.has_ended() || self.out.send(outgoing).await.is_err() {
            return Err(self.gone().await);
        }
        Ok(())
    }

    /// Asks the server and waits for the answer.
    pub(crate) async fn request<R: Request>(
        &self,
        name: &'static str,
        request: &R,
    ) -> Result<R::Reply, Error> {
        let limit = Duration::from_secs(self.inner.profile.iq.timeout_s);
        self.request_within(name, request, limit).await
    }

    async fn request_within<R: Request>(
        &self,
        name: &'static str,
        request: &R,
        limit: Duration,
    ) -> Result<R::Reply, Error> {
        let id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next_id();
        let node = request.to_node(&id, &self.inner.profile);
        let answer = self.pending.expect(id);
        let exchange = async {
            self.send(&node).await?;
            match answer.wait().await {
                Some(answer) => Ok(answer),
                None => Err(self.gone().await),
            }
        };
        let answer = match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => answer?,
            Err(_) => return Err(Error::TimedOut { what: "answer of the server", after: limit }),
        };
        R::parse_reply(answer.view(), &self.inner.profile).map_err(|error| match error {
            ReplyError::Refused(source) => Error::Refused { request: name, source },
            ReplyError::Malformed(source) => Error::BadAnswer { request: name, source: Some(source) },
            _ => Error::BadAnswer { request: name, source: None },
        })
    }

    pub(crate) async fn ping(&self) -> Result<RoundTrip, Error> {
        let limit = Duration::from_secs(self.inner.profile.liveness.answer_s);
        let sent = Instant::now();
        let pong = self.request_within("ping", &Ping, limit).await?;
        Ok(RoundTrip { time: sent.elapsed(), server_time: pong.t })
    }

    /// Asks for the next part of the mailbox, if the profile says that one has to ask.
    async fn ask_for_mailbox(&self) -> Result<(), Error> {
        let Some(count) = self.inner.profile.mailbox.batch else { return Ok(()) };
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).since_asked = Some(0);
        self.send(&Ib::OfflineBatch { count }.to_node(&self.inner.profile)).await
    }

    /// Counts a stanza of the mailbox, and tells whether the batch is used up.
    fn count_mailbox(&self) -> bool {
        let Some(batch) = self.inner.profile.mailbox.batch else { return false };
        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = mailbox.since_asked.as_mut() else { return false };
        *since += 1;
        *since >= batch
    }

    /// What waits for a peer may go out.
    pub(crate) fn release(&self, chat: String) {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).insert(chat);
        self.outbox_news.notify_one();
    }

    pub(crate) fn take_released(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often this message was sent again before, or `None` if there are too many to keep count of.
    pub(crate) fn note_resend(&self, id: &MessageId) -> Option<usize> {
        let mut resends = self.resends.lock().unwrap_or_else(PoisonError::into_inner);
        if resends.len() >= MAX_RESENDS && !resends.contains_key(id) {
            return None;
        }
        let count = resends.entry(id.clone()).or_default();
        *count += 1;
        Some(*count - 1)
    }

    fn mailbox_done(&self) {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).since_asked = None;
    }
}
