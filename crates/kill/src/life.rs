//! One life of the client: the process that is killed.
//!
//! It opens the store, enlists if that has not been done, logs in, writes its texts to the phones, and takes what the
//! phones write. When all is shown and delivered it takes its leave.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use landbridge::stanza::MessageId;
use landbridge::store::{OutState, SqliteStore};
use landbridge::wire::Jid;
use landbridge::{Client, Error, Event, Events, FixedToken};
use tokio::sync::watch;

use crate::error::{Doing, KillError};
use crate::journal::{self, Journal, Line};

/// The user.
pub(crate) const IDENTIFIER: &str = "alice";
/// The variable of the environment that holds the token.
pub(crate) const TOKEN: &str = "LANDBRIDGE_KILL_TOKEN";
/// The partner.
pub(crate) const INTEGRATOR: u16 = 1;

/// What a life is told on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Orders {
    /// Where store and journal lie.
    #[arg(long)]
    pub dir: PathBuf,
    /// The chat server, as `host:port`.
    #[arg(long)]
    pub chat: String,
    /// The address of enlistment.
    #[arg(long)]
    pub enlist: String,
    /// The root of the chat server's certificates, 64 hex digits.
    #[arg(long)]
    pub root: String,
    /// The numbers of the phones.
    #[arg(long, value_delimiter = ',')]
    pub phones: Vec<String>,
    /// How many texts to write to each phone.
    #[arg(long)]
    pub texts: u32,
    /// How many texts of phones will have been shown when all are.
    #[arg(long)]
    pub expect: usize,
    /// The number of this life.
    #[arg(long)]
    pub life: u32,
    /// Aborts at this commit point, from 0: the even ones lie before a commit, the odd ones after it.
    #[arg(long)]
    pub abort_at: Option<u64>,
    /// The identity token.
    #[arg(long, env = TOKEN, hide_env_values = true)]
    pub token: String,
}

/// How far the application has got.
#[derive(Debug, Clone, Default)]
struct Progress {
    logins: u32,
    shown: BTreeSet<(String, String)>,
}

/// Lives one life to its end, if nobody kills it before.
///
/// # Errors
///
/// [`KillError::Violation`] if the client reports what must not happen, [`KillError::Broken`] if a part fails.
pub fn live(orders: &Orders) -> Result<(), KillError> {
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .doing("start the runtime")?;
    runtime.block_on(live_from(orders, begun))
}

async fn live_from(orders: &Orders, begun: Instant) -> Result<(), KillError> {
    let past = journal::read(&orders.dir).doing("read the journal")?;
    let journal = Journal::append(&orders.dir).doing("open the journal")?;
    journal.write(&Line::Begin { life: orders.life }).doing("write the journal")?;
    let client = client(orders)?;
    let mut progress = Progress::default();
    let mut promised = Vec::new();
    let mut written = 0;
    for line in past {
        match line {
            Line::Shown { from, id, .. } => {
                progress.shown.insert((from, id));
            }
            Line::Accepted { to, id, .. } => promised.push((to, id)),
            Line::Asked { .. } => written += 1,
            _ => {}
        }
    }
    let (progress, mut seen) = watch::channel(progress);
    let application = Application { journal: journal.clone(), progress, begun };
    let application = tokio::spawn(application.run(client.events()));
    if client.address().await.doing("ask for the address")?.is_none() {
        client.enlist(IDENTIFIER, INTEGRATOR).await.doing("enlist")?;
    }
    let runner = tokio::spawn({
        let client = client.clone();
        async move { client.run().await }
    });
    let work = async {
        seen.wait_for(|progress| progress.logins > 0).await.doing("wait for the login")?;
        write_texts(&client, orders, &journal, written, &mut promised).await?;
        seen.wait_for(|progress| progress.shown.len() >= orders.expect).await.doing("wait for texts")?;
        settle(&client, &promised).await?;
        journal.write(&Line::Settled).doing("write the journal")
    };
    tokio::select! {
        done = work => done?,
        why = runner => {
            let why = why.doing("stay connected")?;
            return Err(why).doing("stay connected");
        }
    }
    client.disconnect().await;
    // It has asked for an event behind the last message, which is thereby confirmed.
    application.await.doing("end the application")?
}

fn client(orders: &Orders) -> Result<Client, KillError> {
    let mut store = SqliteStore::open(orders.dir.join("client.db")).doing("open the store")?;
    if let Some(abort_at) = orders.abort_at {
        let mut point = 0;
        store.observe_commits(move |_| {
            if point == abort_at {
                std::process::abort();
            }
            point += 1;
        });
    }
    Client::builder()
        .store(store)
        .endpoint(orders.chat.as_str())
        .enlistment_url(orders.enlist.as_str())
        .root_key(orders.root.as_str())
        .token_source(FixedToken::new(orders.token.as_str()))
        .push_name("Alice")
        .build()
        .doing("build the client")
}

/// Writes to all phones in turn. The texts are numbered through all lives.
async fn write_texts(
    client: &Client,
    orders: &Orders,
    journal: &Journal,
    mut number: u64,
    promised: &mut Vec<(String, String)>,
) -> Result<(), KillError> {
    for _ in 0..orders.texts {
        for phone in &orders.phones {
            let to = Jid::user(phone);
            loop {
                number += 1;
                let text = number.to_string();
                let asked = Line::Asked { to: to.to_string(), text: text.clone() };
                journal.write(&asked).doing("write the journal")?;
                match client.send_text(&to, &text).await {
                    Ok(id) => {
                        promised.push((to.to_string(), id.to_string()));
                        let line = Line::Accepted { to: to.to_string(), id: id.to_string(), text };
                        journal.write(&line).doing("write the journal")?;
                        break;
                    }
                    Err(Error::NotConnected) => {
                        let line = Line::Refused { to: to.to_string(), text };
                        journal.write(&line).doing("write the journal")?;
                        tokio::task::yield_now().await;
                    }
                    Err(error) => return Err(error).doing("send a text"),
                }
            }
        }
    }
    Ok(())
}

/// Waits until everything that was ever promised is delivered, and everything that is owed to the server is written.
async fn settle(client: &Client, promised: &[(String, String)]) -> Result<(), KillError> {
    for (to, id) in promised {
        let (to, id): (Jid, MessageId) =
            (to.parse().doing("read the journal")?, id.parse().doing("read the journal")?);
        let state = client.wait_for(&to, &id, OutState::Delivered).await.doing("wait for a receipt")?;
        if state < OutState::Delivered {
            return Err(KillError::Violation { what: format!("{id} to {to} is {}", state.name()) });
        }
    }
    client.receipts_written().await.doing("write receipts")
}

/// Takes the events.
struct Application {
    journal: Journal,
    progress: watch::Sender<Progress>,
    begun: Instant,
}

impl Application {
    /// Until the client takes its leave.
    async fn run(self, mut events: Events) -> Result<(), KillError> {
        while let Some(event) = events.next().await {
            let last = matches!(event, Event::Disconnected { will_retry: false, .. });
            self.event(event).doing("write the journal")?;
            if last {
                break;
            }
        }
        Ok(())
    }

    fn event(&self, event: Event) -> std::io::Result<()> {
        match event {
            Event::Connected { .. } => {
                let micros = micros(self.begun.elapsed());
                self.journal.write(&Line::Connected { micros })?;
                self.progress.send_modify(|progress| progress.logins += 1);
            }
            Event::Message(message) => {
                let (from, id) = (message.sender.to_string(), message.id.to_string());
                let text = message.text().unwrap_or_default().to_owned();
                self.journal.write(&Line::Shown { from: from.clone(), id: id.clone(), text })?;
                self.progress.send_modify(|progress| {
                    progress.shown.insert((from, id));
                });
            }
            Event::Undecryptable { .. }
            | Event::Unavailable { .. }
            | Event::IdentityChanged { .. }
            | Event::StoreRolledBack { .. }
            | Event::StoreFailed { .. }
            | Event::MustReenlist { .. }
            | Event::Missed { .. }
            | Event::MessageState { failure: Some(_), .. } => {
                self.journal.write(&Line::Odd { what: format!("{event:?}") })?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
