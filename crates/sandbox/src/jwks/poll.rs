//! The tasks that keep the partners' key sets fresh. Every fetch goes into the journal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use landbridge_enlist::jwks::{FetchReport, FetchRequest, Fetched};
use landbridge_transport::HttpClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::SandboxError;
use crate::events::EventKind;
use crate::partners::Partner;
use crate::state::{State, chain};

/// Starts one task per partner. The first fetches are made at once; the tasks end when `stop` changes.
pub(crate) fn spawn(
    state: &Arc<State>,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, SandboxError> {
    let rules = &state.profile().key_sets;
    let time = Duration::from_secs(rules.fetch_timeout_s);
    // The client follows no redirect at all, so none to another origin or to http either.
    let client = HttpClient::builder()
        .connect_timeout(time)
        .total_timeout(time)
        .max_body(rules.max_bytes)
        .build()
        .map_err(SandboxError::Http)?;
    let task = |partner: &Arc<Partner>| Task {
        state: Arc::clone(state),
        partner: Arc::clone(partner),
        client: client.clone(),
        stop: stop.clone(),
    };
    Ok(state.partners.iter().map(|partner| tokio::spawn(task(partner).run())).collect())
}

struct Task {
    state: Arc<State>,
    partner: Arc<Partner>,
    client: HttpClient,
    stop: watch::Receiver<bool>,
}

impl Task {
    async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.poll() => {}
            // The sender is gone: the sandbox was dropped.
            _ = stop.changed() => {}
        }
    }

    async fn poll(&mut self) {
        loop {
            let now = self.state.now();
            if let Some(request) = self.partner.due(now) {
                self.fetch(&request).await;
                continue;
            }
            let next = self.partner.next_fetch().unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(next.saturating_sub(now))) => {}
                () = self.partner.wanted() => {}
            }
        }
    }

    /// Makes one fetch, and tells the partner's cache and the journal how it ended.
    async fn fetch(&self, request: &FetchRequest) {
        let begun = Instant::now();
        let condition = request.if_none_match.as_deref().map(|tag| ("if-none-match", tag));
        let answer = self.client.get(self.partner.jwks_url(), condition.as_slice()).await;
        let millis = begun.elapsed().as_millis();
        let kind = if condition.is_some() { "conditional GET" } else { "GET" };
        let now = self.state.now();
        let outcome = match answer {
            Ok(answer) => {
                let status = answer.status.as_u16();
                let fetched = Fetched::Response {
                    status,
                    etag: answer.etag(),
                    cache_control: answer.header("cache-control"),
                    body: &answer.body,
                };
                let report = self.partner.fetched(fetched, now);
                format!("{kind}, {status}, {} bytes, {millis} ms: {}", answer.body.len(), describe(&report))
            }
            Err(error) => {
                self.partner.fetched(Fetched::Failed, now);
                format!("{kind}, {millis} ms: failed: {}", chain(&error))
            }
        };
        let integrator = self.partner.integrator().get();
        self.state.note(None, None, EventKind::KeySet { integrator, outcome });
    }
}

fn describe(report: &FetchReport) -> String {
    match report {
        FetchReport::Replaced { added, removed, dropped } => {
            let mut text = "accepted".to_owned();
            for (word, kids) in [("added", added), ("removed", removed)] {
                if !kids.is_empty() {
                    text += &format!(", {word} {}", kids.join(" "));
                }
            }
            for key in dropped {
                text += &format!(", dropped {key}");
            }
            text
        }
        FetchReport::Unchanged => "unchanged".to_owned(),
        FetchReport::Refused(error) => format!("refused: {}", chain(error)),
        _ => "failed".to_owned(),
    }
}
