//! The sandbox with its phones, and the client's directory: what outlives the lives of the client.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use landbridge_sandbox::events::{Event, EventKind};
use landbridge_sandbox::{Direction, MessageState, PhoneMessage, Sandbox, SandboxConfig, Trace};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::check;
use crate::error::{Doing, KillError};
use crate::feed::Feed;
use crate::journal;
use crate::life::{IDENTIFIER, INTEGRATOR, TOKEN};
use crate::partner::Partner;
use crate::recorder::Recorder;
use crate::report::Report;

/// A life that has not ended by then is stuck.
const LIFE: Duration = Duration::from_secs(120);
/// So many phones write with the client in each life: one that begins the conversation, and one that waits for the client.
const ACTIVE: usize = 2;
const SIGKILL: i32 = 9;
const SIGABRT: i32 = 6;

/// How a life is to end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// When all is done.
    Orderly,
    /// Killed so long after its start, or when all is done if that is earlier.
    Killed(Duration),
    /// By itself at that commit point, or when all is done if there are not so many.
    Aborted(u64),
}

/// How a life has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Orderly,
    Killed,
}

/// Whether a phone begins the conversation: every other one.
fn begins(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// A phone and what it wrote.
pub(crate) struct Phone {
    pub(crate) number: String,
    /// Id and text, in order.
    pub(crate) wrote: Vec<(String, String)>,
    /// How many it is still to write in this life.
    left: u32,
}

impl Phone {
    /// The first phone, if it wrote that.
    #[cfg(test)]
    pub(crate) fn with(wrote: Vec<(String, String)>) -> Self {
        Self { number: "14155550000".to_owned(), wrote, left: 0 }
    }

    pub(crate) fn jid(&self) -> String {
        format!("{}@s.whatsapp.net", self.number)
    }
}

pub(crate) struct World {
    program: PathBuf,
    dir: TempDir,
    sandbox: Sandbox,
    feed: Feed,
    pub(crate) recorder: Recorder,
    pub(crate) phones: Vec<Phone>,
    pub(crate) lives: u32,
    pub(crate) killed: Vec<u32>,
    enlisted: bool,
    /// The server has one-time prekeys of the client.
    has_keys: bool,
}

impl World {
    /// `program` is the program of a life.
    pub(crate) async fn new(program: &Path, partner: &Partner) -> Result<Self, KillError> {
        let config = SandboxConfig { trace: Trace::On, ..SandboxConfig::default() };
        let config = config.partner(INTEGRATOR, partner.url());
        let sandbox = Sandbox::start(config).await.doing("start the sandbox")?;
        let mut world = Self {
            program: program.to_owned(),
            dir: TempDir::new().doing("make a directory")?,
            feed: Feed::new(sandbox.handle()),
            sandbox,
            recorder: Recorder::default(),
            phones: Vec::new(),
            lives: 0,
            killed: Vec::new(),
            enlisted: false,
            has_keys: false,
        };
        world.meet_others()?;
        Ok(world)
    }

    /// From now on the client writes with phones that it has not met.
    pub(crate) fn meet_others(&mut self) -> Result<(), KillError> {
        for _ in 0..ACTIVE {
            let number = format!("1415{:07}", 5_550_000 + self.phones.len());
            self.sandbox.handle().create_phone(&number, "Phone").doing("make a phone")?;
            self.phones.push(Phone { number, wrote: Vec::new(), left: 0 });
        }
        Ok(())
    }

    fn active(&mut self) -> impl Iterator<Item = (usize, &mut Phone)> {
        let skip = self.phones.len().saturating_sub(ACTIVE);
        self.phones.iter_mut().enumerate().skip(skip)
    }

    /// One life, in which the client writes `texts` to each phone and gets as many answers, and one text more from those
    /// that begin.
    pub(crate) async fn life(&mut self, partner: &Partner, texts: u32, end: End) -> Result<Ended, KillError> {
        self.lives += 1;
        for (number, phone) in self.active() {
            phone.left = texts + u32::from(begins(number));
        }
        let mut child = self.spawn(partner, texts, end)?;
        let status = self.accompany(&mut child, end).await?;
        // It is gone: whatever it has connected waits to be accepted before this.
        let milestone = TcpStream::connect(self.sandbox.chat_addr()).await.doing("connect")?;
        let address = milestone.local_addr().doing("connect")?;
        self.recorder.connections.milestone(address.to_string());
        drop(milestone);
        while let Some(event) = self.feed.ready() {
            self.event(event)?;
        }
        let ended = match (end, status.code(), status.signal()) {
            (_, Some(0), _) => Ended::Orderly,
            (End::Killed(_), _, Some(SIGKILL)) | (End::Aborted(_), _, Some(SIGABRT)) => Ended::Killed,
            _ => {
                let status = status.to_string();
                return Err(KillError::Died { life: self.lives, status, said: self.said() });
            }
        };
        if ended == Ended::Killed {
            self.killed.push(self.lives);
            // What was not written while the client was there waits for it in the mailbox.
            for number in 0..self.phones.len() {
                while self.write(number)? {}
            }
        }
        Ok(ended)
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What the life has said, for the directory goes with the world.
    fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn spawn(&mut self, partner: &Partner, texts: u32, end: End) -> Result<Child, KillError> {
        let active: Vec<String> = self.active().map(|(_, phone)| phone.number.clone()).collect();
        let handle = self.sandbox.handle();
        let expected: usize = self.phones.iter().map(|it| it.wrote.len() + it.left as usize).sum();
        let mut command = Command::new(&self.program);
        command
            .arg("life")
            .arg("--dir")
            .arg(self.dir.path())
            .args(["--chat", &self.sandbox.chat_addr().to_string()])
            .args(["--enlist", &self.sandbox.enlist_url()])
            .args(["--root", &hex::encode(self.sandbox.root_key().as_bytes())])
            .args(["--phones", &active.join(",")])
            .args(["--texts", &texts.to_string()])
            .args(["--expect", &expected.to_string()])
            .args(["--life", &self.lives.to_string()])
            .env(TOKEN, partner.token(IDENTIFIER, handle.clock().now())?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.log()).doing("make a log")?)
            .kill_on_drop(true);
        if let End::Aborted(point) = end {
            command.args(["--abort-at", &point.to_string()]);
        }
        command.spawn().doing("start a life")
    }

    /// Writes with the client until it is gone.
    async fn accompany(&mut self, child: &mut Child, end: End) -> Result<ExitStatus, KillError> {
        let limit = tokio::time::sleep(LIFE);
        let (delay, mut armed) = match end {
            End::Killed(delay) => (delay, true),
            _ => (LIFE, false),
        };
        let kill = tokio::time::sleep(delay);
        tokio::pin!(limit, kill);
        loop {
            tokio::select! {
                status = child.wait() => return status.doing("wait for a life"),
                event = self.feed.next() => self.event(event)?,
                () = &mut kill, if armed => {
                    child.start_kill().doing("kill a life")?;
                    armed = false;
                }
                () = &mut limit => return Err(KillError::Stuck { life: self.lives, said: self.said() }),
            }
        }
    }

    fn event(&mut self, (event, complete): (Event, bool)) -> Result<(), KillError> {
        if !complete {
            let what =
                format!("the sandbox's journal was read too late: event {} is not the next", event.seq);
            return Err(KillError::Violation { what });
        }
        self.recorder.event(&event);
        match event.kind {
            EventKind::Enlisted { .. } => self.enlisted = true,
            EventKind::LoggedIn { .. } if self.has_keys => self.begin()?,
            // Of the client: phones are there before the client is enlisted.
            EventKind::KeysStored { held: 1.., .. } if self.enlisted && !self.has_keys => {
                self.has_keys = true;
                self.begin()?;
            }
            EventKind::PhoneReceived { .. } => {
                let who = self.phones.iter().position(|it| event.user.as_deref() == Some(&it.jid()));
                if let Some(number) = who {
                    self.write(number)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The phones that begin write a text.
    fn begin(&mut self) -> Result<(), KillError> {
        let first: Vec<_> = self.active().map(|(number, _)| number).filter(|it| begins(*it)).collect();
        first.into_iter().try_for_each(|number| self.write(number).map(drop))
    }

    /// A phone writes a text, unless it has none left in this life or there is nobody to write to.
    fn write(&mut self, number: usize) -> Result<bool, KillError> {
        let Some(phone) = self.phones.get_mut(number).filter(|it| self.enlisted && it.left > 0) else {
            return Ok(false);
        };
        phone.left -= 1;
        let text = (phone.wrote.len() + 1).to_string();
        let id = self.sandbox.handle().phone_send_text(&phone.number, IDENTIFIER, &text);
        phone.wrote.push((id.doing("write from a phone")?.to_string(), text));
        Ok(true)
    }

    /// What a phone shows.
    pub(crate) fn screen(&self, phone: &Phone) -> Result<Vec<PhoneMessage>, KillError> {
        self.sandbox.handle().phone_messages(&phone.number).doing("read a phone")
    }

    /// Checks everything after an orderly life.
    pub(crate) async fn check(&mut self) -> Result<Report, KillError> {
        for phone in &self.phones {
            let delivered = self.delivered(phone);
            if tokio::time::timeout(LIFE, delivered).await.is_err() {
                let what = format!("not all that {} wrote is delivered", phone.number);
                return Err(KillError::Violation { what });
            }
        }
        let limit = Instant::now() + LIFE;
        while !self.recorder.connections.are_over() {
            let Ok(event) = tokio::time::timeout_at(limit, self.feed.next()).await else {
                let what = "a connection of a life that is gone does not end".to_owned();
                return Err(KillError::Violation { what });
            };
            self.event(event)?;
        }
        while let Some(event) = self.feed.ready() {
            self.event(event)?;
        }
        let lines = journal::read(self.dir.path()).doing("read the journal")?;
        check::check(self, &lines)
    }

    /// Waits until all that a phone wrote is delivered.
    async fn delivered(&self, phone: &Phone) -> Result<(), KillError> {
        let mut changes = self.sandbox.handle().watch_phone(&phone.number).doing("watch a phone")?;
        let late = |it: &PhoneMessage| it.direction == Direction::Sent && it.state < MessageState::Delivered;
        while self.screen(phone)?.iter().any(late) {
            changes.changed().await.doing("watch a phone")?;
        }
        Ok(())
    }

    pub(crate) async fn end(self) {
        self.sandbox.shutdown().await;
    }
}
