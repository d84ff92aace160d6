//! The task that sends pushes: it takes what is due from the board, makes the exchanges, and reports how they end.

use std::sync::Arc;
use std::time::Duration;

use landbridge_enlist::IntegratorId;
use landbridge_wire::Jid;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::bearer::{Bearer, BearerError, Bearers, Flaw, hash};
use super::board::{After, Board, Ended, Extra, Job, LastPush, PushReason, Recipient};
use super::exchange::{Answer, Clients, HeadForm, PushVersion};
use super::lane::Breaker;
use super::mischief::{Tricks, for_nobody};
use super::rules::{Rules, Verdict};
use crate::events::{EventKind, PushExchange, Rule};
use crate::faults::Fault;
use crate::partners::Partner;
use crate::state::State;
use crate::{Pushing, SandboxError};

/// Sets the jitter apart from other things that are drawn from the same seed.
const JITTER: u64 = 0x7075_7368;

/// Starts the sender, unless the configuration wants none. It ends when `stop` changes.
pub(crate) fn spawn(
    state: &Arc<State>,
    stop: &watch::Receiver<bool>,
) -> Result<Option<JoinHandle<()>>, SandboxError> {
    let version = match state.config.pushing {
        Pushing::Off => return Ok(None),
        Pushing::Http1 => PushVersion::Http1,
        Pushing::Http2 => PushVersion::Http2,
    };
    let rules = &state.profile().push;
    let clients = Clients::new(rules, &state.config.http_client()).map_err(SandboxError::Http)?;
    let mut board = Board::new(Rules::new(rules), state.faults.seed() ^ JITTER);
    state.resume_pushes(&mut board)?;
    *state.pushes.board() = Some(board);
    let sender = Sender { state: Arc::clone(state), clients, version, bearers: Bearers::default() };
    Ok(Some(tokio::spawn(Arc::new(sender).run(stop.clone()))))
}

struct Sender {
    state: Arc<State>,
    clients: Clients,
    version: PushVersion,
    bearers: Bearers,
}

/// What an exchange is about.
struct Errand<'e> {
    partner: &'e Partner,
    user: Option<&'e Jid>,
    why: PushReason,
    attempt: u32,
    url: String,
    body: String,
}

impl<'e> Errand<'e> {
    fn new(
        state: &State,
        partner: &'e Partner,
        user: Option<&'e Jid>,
        identifier: &str,
        (why, attempt): (PushReason, u32),
    ) -> Self {
        let url = format!("{}{}", partner.base_url().trim_end_matches('/'), state.profile().push.path);
        let body = serde_json::json!({ "to": identifier }).to_string();
        Self { partner, user, why, attempt, url, body }
    }
}

impl Sender {
    async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        loop {
            let (now, jobs, next) = match self.state.pushes.board().as_mut() {
                Some(board) => {
                    let now = self.state.clock.millis();
                    let jobs = board.take(now);
                    self.state.keep_pushes(board);
                    (now, jobs, board.next_at())
                }
                None => return,
            };
            for job in jobs {
                running.spawn(Arc::clone(&self).work(job));
            }
            let wait = next.map(|at| Duration::from_millis(at.saturating_sub(now)));
            tokio::select! {
                () = self.state.pushes.changed.notified() => {}
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                Some(_) = running.join_next() => {}
                // The sender is gone, or says so: the sandbox stops.
                _ = stop.changed() => break,
            }
        }
        // Nothing new begins. What is under way ends, lest it be done once more by the next run.
        let rest = async { while running.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(self.state.config.chat.drain, rest).await;
    }

    async fn work(self: Arc<Self>, job: Job) {
        let state = &self.state;
        match job {
            Job::Planned { to, why, attempt, probe } => {
                let ended = self.planned(&to, why, attempt).await;
                let after = state.tell_board(|board, now| board.ended(&to, probe, ended, now));
                self.tell(&to, after.unwrap_or_default());
            }
            Job::Extra(extra) => {
                self.extra(&extra).await;
                state.tell_board(|board, now| board.extra_ended(extra.integrator, now));
            }
        }
        state.pushes.ended.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Writes to the journal what an end has led to.
    fn tell(&self, to: &Recipient, after: After) {
        if let Some(tries) = after.gave_up {
            self.state.note(None, Some(&to.jid), EventKind::PushGivenUp { tries });
        }
        if let Some((why, at)) = after.planned {
            let due = at.div_ceil(1_000);
            self.state.note(None, Some(&to.jid), EventKind::PushPlanned { why, due });
        }
        if let Some(breaker) = after.breaker {
            let (integrator, open) = (to.integrator, breaker == Breaker::Opened);
            self.state.note(None, None, EventKind::PushBreaker { integrator, open });
        }
    }

    fn partner(&self, integrator: u16) -> Option<&Arc<Partner>> {
        self.state.partners.get(IntegratorId::new(integrator)?)
    }

    /// One try of a push for a user: an exchange, and one more if the bearer was not believed.
    async fn planned(&self, to: &Recipient, why: PushReason, attempt: u32) -> Ended {
        match self.is_needed(to, why) {
            Ok(true) => {}
            Ok(false) => return Ended::Needless,
            Err(error) => {
                self.state.internal("a mailbox cannot be read", &error);
                return self.failed("the mailbox cannot be read");
            }
        }
        // A partner of an earlier run, whom nobody has named in this one.
        let Some(partner) = self.partner(to.integrator) else { return Ended::Needless };
        let errand = Errand::new(&self.state, partner, Some(&to.jid), &to.identifier, (why, attempt));
        // From before the journal says that this one waits for others.
        let others = self.state.pushes.ended.subscribe();
        let tricks = Tricks::roll(&self.state, to, &errand.url);
        if let Some(extra) = for_nobody(&self.state, to.integrator) {
            self.state.tell_board(|board, _| board.add(extra));
        }
        self.hold(&tricks, others).await;
        let answer = match self.attempt(&errand, &tricks).await {
            Ok(answer) => answer,
            Err(error) => {
                self.state.internal("a push cannot be sent", &error);
                return self.failed(error.to_string());
            }
        };
        let ended = self.judge(&errand, &answer);
        if tricks.twice && matches!(answer.status, Ok(200..=299)) {
            // Its answer changes nothing.
            let bearer = self.bearers.get(&self.state, partner).await;
            if let Ok(bearer) = bearer {
                self.exchange(&errand, self.version, &bearer).await;
            }
        }
        ended
    }

    /// Whether there is still something to say.
    fn is_needed(&self, to: &Recipient, why: PushReason) -> Result<bool, SandboxError> {
        let waiting = || self.state.db.read(|tx| tx.waiting(to.user, 0));
        Ok(why == PushReason::ByHand || waiting()?.count() > 0)
    }

    /// Lets a push that is to come late wait.
    async fn hold(&self, tricks: &Tricks, mut others: watch::Receiver<u64>) {
        if let Some(late) = tricks.late {
            tokio::time::sleep(late).await;
        }
        if tricks.overtaken {
            tokio::select! {
                _ = others.changed() => {}
                () = tokio::time::sleep(self.state.config.fault_times.push) => {}
            }
        }
    }

    async fn attempt(&self, errand: &Errand<'_>, tricks: &Tricks) -> Result<Answer, BearerError> {
        let (state, partner) = (&self.state, errand.partner);
        let bearer = match tricks.flaw {
            Some(flaw) => self.bearers.flawed(state, partner, flaw).await?,
            None => self.bearers.get(state, partner).await?,
        };
        if let Some(at) = tricks.broken
            && let Some(answer) = self.clients.broken(at, &errand.url, &bearer, &errand.body).await
        {
            self.note(errand, PushVersion::Http1, &bearer, &answer);
            return Ok(answer);
        }
        let mut answer = self.first(errand, tricks, &bearer).await;
        self.look_at_verifier(errand, tricks, &answer);
        if answer.status == Ok(401) {
            self.bearers.refused(partner, &bearer);
            let fresh = self.bearers.get(state, partner).await?;
            answer = self.exchange(errand, self.version, &fresh).await;
        }
        Ok(answer)
    }

    /// The first exchange of a try, in the other version of HTTP if a fault wants it so; if that fails, as ever.
    async fn first(&self, errand: &Errand<'_>, tricks: &Tricks, bearer: &Bearer) -> Answer {
        if tricks.other_version {
            let answer = self.exchange_as(errand, (self.version.other(), tricks.form), bearer).await;
            let Err(why) = &answer.status else { return answer };
            let detail = format!("{} does not answer in the other version of HTTP: {why}", errand.url);
            let kind = EventKind::Unusual { rule: Rule::HTTP_VERSIONS, detail };
            self.state.note(None, errand.user, kind);
        }
        self.exchange_as(errand, (self.version, tricks.form), bearer).await
    }

    /// Whether the partner believes what it should, and nothing else.
    fn look_at_verifier(&self, errand: &Errand<'_>, tricks: &Tricks, answer: &Answer) {
        let Ok(status) = answer.status else { return };
        let taken = (200..300).contains(&status);
        match tricks.flaw {
            Some(flaw @ (Flaw::Expired | Flaw::Audience)) if taken => {
                let fault = if flaw == Flaw::Expired { Fault::PushExpired } else { Fault::PushAudience };
                let detail = format!("{} answered {status} to a push of fault {fault}", errand.url);
                self.state.broken(None, errand.user, Rule::PUSH_BEARER, detail);
            }
            Some(Flaw::Clock(by)) if status == 401 => {
                let detail =
                    format!("{} refused a bearer whose clock is wrong by {by} s, 60 are allowed", errand.url);
                let kind = EventKind::Unusual { rule: Rule::PUSH_BEARER, detail };
                self.state.note(None, errand.user, kind);
            }
            _ => {}
        }
    }

    async fn exchange(&self, errand: &Errand<'_>, version: PushVersion, bearer: &Bearer) -> Answer {
        self.exchange_as(errand, (version, HeadForm::Usual), bearer).await
    }

    async fn exchange_as(
        &self,
        errand: &Errand<'_>,
        (version, form): (PushVersion, HeadForm),
        bearer: &Bearer,
    ) -> Answer {
        let answer = self.clients.send((version, form), &errand.url, bearer, &errand.body).await;
        self.note(errand, version, bearer, &answer);
        answer
    }

    /// Writes an exchange to the journal: hashes of what was secret or is somebody's, and what came back.
    fn note(&self, errand: &Errand<'_>, version: PushVersion, bearer: &Bearer, answer: &Answer) {
        let exchange = PushExchange {
            integrator: errand.partner.integrator().get(),
            why: errand.why,
            attempt: errand.attempt,
            version,
            token_sha256: bearer.hash.clone(),
            body_sha256: hash(errand.body.as_bytes()),
            status: answer.status.as_ref().ok().copied(),
            failure: answer.status.as_ref().err().cloned(),
            retry_after: answer.retry_after_s,
            millis: u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX),
        };
        self.state.note(None, errand.user, EventKind::Push(Box::new(exchange)));
    }

    /// What the last answer of a try means.
    fn judge(&self, errand: &Errand<'_>, answer: &Answer) -> Ended {
        let status = match &answer.status {
            Ok(status) => *status,
            Err(why) => return self.failed(why.as_str()),
        };
        let t = self.state.now();
        let unusual = |detail: String| {
            self.state.note(None, errand.user, EventKind::Unusual { rule: Rule::PUSH_ANSWER, detail });
        };
        let outcome = match Verdict::of(status) {
            Verdict::Done => "taken",
            Verdict::DoneOddly => {
                unusual(format!("{} answered {status}", errand.url));
                "taken, though not with 200"
            }
            Verdict::Unauthorized => "refused, with a fresh bearer, too",
            Verdict::Redirected => {
                unusual(format!("{} answered {status}: redirects are not followed", errand.url));
                "a redirect, which is not followed"
            }
            Verdict::Refused => "refused for good",
            Verdict::Later => {
                let last = LastPush { t, status: Some(status), outcome: "refused for now".to_owned() };
                return Ended::Failed { last, retry_after_s: answer.retry_after_s };
            }
        };
        Ended::Answered(LastPush { t, status: Some(status), outcome: outcome.to_owned() })
    }

    fn failed(&self, outcome: impl Into<String>) -> Ended {
        let last = LastPush { t: self.state.now(), status: None, outcome: outcome.into() };
        Ended::Failed { last, retry_after_s: None }
    }

    /// A fault's push: sent once, whatever comes of it.
    async fn extra(&self, extra: &Extra) {
        let Some(partner) = self.partner(extra.integrator) else { return };
        let about = (PushReason::Fault, 1);
        let errand = Errand::new(&self.state, partner, extra.jid.as_ref(), &extra.identifier, about);
        match self.bearers.get(&self.state, partner).await {
            Ok(bearer) => {
                self.exchange(&errand, self.version, &bearer).await;
            }
            Err(error) => self.state.internal("a push cannot be sent", &error),
        }
    }
}
