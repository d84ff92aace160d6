//! The tasks that keep the partners' key sets fresh. Every fetch goes into the journal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use landbridge_enlist::jwks::{FetchReport, FetchRequest, Fetched};
use landbridge_transport::http_client::{
    HeaderCase, HttpClient, HttpClientBuilder, HttpError, Response, Versions,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::SandboxError;
use crate::events::{EventKind, Rule};
use crate::faults::Fault;
use crate::partners::Partner;
use crate::state::{State, chain};

/// What a fetch in another guise calls itself.
const AGENT: &str = concat!("landbridge/", env!("CARGO_PKG_VERSION"));

/// Starts one task per partner. The first fetches are made at once; the tasks end when `stop` changes.
pub(crate) fn spawn(
    state: &Arc<State>,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, SandboxError> {
    let rules = &state.profile().key_sets;
    let time = Duration::from_secs(rules.fetch_timeout_s);
    // The client follows no redirect at all, so none to another origin or to http either.
    let builder =
        state.config.http_client().connect_timeout(time).total_timeout(time).max_body(rules.max_bytes);
    let client = builder.clone().build().map_err(SandboxError::Http)?;
    let task = |partner: &Arc<Partner>| Task {
        state: Arc::clone(state),
        partner: Arc::clone(partner),
        client: client.clone(),
        builder: builder.clone(),
        stop: stop.clone(),
    };
    Ok(state.partners.iter().map(|partner| tokio::spawn(task(partner).run())).collect())
}

struct Task {
    state: Arc<State>,
    partner: Arc<Partner>,
    client: HttpClient,
    /// For fetches in another guise.
    builder: HttpClientBuilder,
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
        let answer = match self.disguised(condition).await {
            Some(answer) => answer,
            None => self.client.get(self.partner.jwks_url(), condition.as_slice()).await,
        };
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

impl Task {
    /// A fetch in another version of HTTP, or with other header fields, if a fault wants it so. `None`: make it as ever.
    async fn disguised(&self, condition: Option<(&str, &str)>) -> Option<Result<Response, HttpError>> {
        let (faults, url) = (&self.state.faults, self.partner.jwks_url());
        let version = faults.roll(Fault::HttpVersion);
        let headers = faults.roll(Fault::HttpHeaders);
        if version.is_none() && headers.is_none() {
            return None;
        }
        let mut builder = self.builder.clone();
        let mut fields: Vec<_> =
            condition.into_iter().chain([("accept", "*/*"), ("user-agent", AGENT)]).collect();
        let say = |fault, what: &str| self.state.injected(fault, None, None, None, format!("{url}: {what}"));
        if let Some(mut dice) = headers {
            let first = dice.below(fields.len() as u64);
            fields.rotate_left(usize::try_from(first).unwrap_or(0));
            builder = builder.header_case(HeaderCase::Title);
            let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
            say(Fault::HttpHeaders, &format!("Title-Case, in the order {}", names.join(", ")));
        }
        if version.is_some() {
            // Over TLS the version is negotiated, and is the second one with most servers.
            let (versions, name) = match url.starts_with("https:") {
                true => (Versions::Http1, "HTTP/1.1"),
                false => (Versions::Http2, "HTTP/2"),
            };
            builder = builder.versions(versions);
            say(Fault::HttpVersion, name);
        }
        let client = match builder.build() {
            Ok(client) => client,
            Err(error) => return Some(Err(error)),
        };
        match client.get(url, &fields).await {
            // Partners have to serve both, but one that does not is not to stand still for it.
            Err(error) if version.is_some() => {
                let detail = format!("{url} does not answer in the other version of HTTP: {}", chain(&error));
                self.state.note(None, None, EventKind::Unusual { rule: Rule::HTTP_VERSIONS, detail });
                None
            }
            answer => Some(answer),
        }
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
