//! Pushes between the sandbox and a partner's server as they are run, and what reaches a device.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

use std::time::Duration;

use landbridge::transport::HttpClient;
use landbridge::transport::http_client::Streaming;
use landbridge_curve::PrivateKey;
use landbridge_enlist::IntegratorId;
use landbridge_partner::{Clock as PartnerClock, Partner, PartnerConfig, PushConfig};
use landbridge_sandbox::events::{EventKind, PushExchange};
use landbridge_sandbox::faults::{Fault, Probability};
use landbridge_sandbox::{Clock, EnlistKeys, Pushing, Sandbox, SandboxConfig, SandboxHandle};
use landbridge_signal::{IdentityKeyPair, SignedPreKey, SignedPreKeyId};
use landbridge_stanza::keys;

const NOW: u64 = 1_800_000_000;
const NUMBER: &str = "14155551001";
const SESSION: &str = "session-of-alice";

/// A sandbox and a partner's server on one clock, which stands; the partner's user alice, enlisted and away; her device,
/// which listens.
struct Town {
    sandbox: Sandbox,
    partner: Partner,
    device: Device,
    seen: u64,
}

/// A stream of wake-ups.
struct Device {
    stream: Streaming,
    text: String,
}

impl Device {
    async fn open(partner: &Partner) -> Self {
        let url = format!("{}/v1/wake?device=test", partner.base_url());
        let (http, session) = (HttpClient::builder().build().unwrap(), format!("Bearer {SESSION}"));
        let stream = http.open(&url, &[("authorization", &session)], Duration::from_secs(60)).await.unwrap();
        assert_eq!(stream.status, 200);
        Self { stream, text: String::new() }
    }

    /// The next wake-up.
    async fn wake(&mut self) -> serde_json::Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:")).map(str::to_owned);
                self.text = rest.to_owned();
                if let Some(data) = data {
                    return serde_json::from_str(&data).unwrap();
                }
            } else {
                let piece = self.stream.next().await.unwrap().unwrap();
                self.text += std::str::from_utf8(&piece).unwrap();
            }
        }
    }
}

fn keys() -> EnlistKeys {
    let rng = &mut rand::rng();
    let identity = IdentityKeyPair::generate(rng);
    let signed = SignedPreKey::generate(SignedPreKeyId::new(1).unwrap(), &identity, rng).public();
    EnlistKeys {
        authkey: *PrivateKey::generate(rng).public().as_bytes(),
        registration: 4711,
        identity: *identity.public().as_bytes(),
        signed_prekey: keys::SignedPreKey {
            id: 1,
            value: *signed.key.as_bytes(),
            signature: signed.signature,
        },
    }
}

impl Town {
    async fn new(pushing: Pushing) -> Self {
        let clock = Clock::manual(NOW);
        let config = SandboxConfig { pushing, clock: clock.clone(), ..SandboxConfig::default() };
        let bound = Sandbox::bind(config).await.unwrap();
        let push = PushConfig { keys_url: Some(bound.jwks_url()), ..PushConfig::default() };
        let config = PartnerConfig {
            addr: "127.0.0.1:0".parse().unwrap(),
            admin_addr: "127.0.0.1:0".parse().unwrap(),
            dev_users: [(SESSION.to_owned(), "alice".to_owned())].into(),
            insecure_dev_auth: true,
            push,
            ..PartnerConfig::default()
        };
        let clock = PartnerClock::of(move || Duration::from_secs(clock.now()));
        let partner = Partner::builder(config).clock(clock).start().await.unwrap();
        let sandbox = bound.partner(1, partner.base_url()).start().unwrap();
        let handle = sandbox.handle();
        handle.create_phone(NUMBER, "Joe").unwrap();
        handle.enlist_user(IntegratorId::new(1).unwrap(), &"alice".parse().unwrap(), &keys()).unwrap();
        let device = Device::open(&partner).await;
        let town = Self { sandbox, partner, device, seen: 0 };
        town.keys_are_known().await;
        town
    }

    fn handle(&self) -> &SandboxHandle {
        self.sandbox.handle()
    }

    /// A push by hand until the partner has fetched the keys: before, it answers 503.
    async fn keys_are_known(&self) {
        let mut since = 0;
        loop {
            self.handle().push("alice").unwrap();
            let event = self.handle().wait_for(since, |event| matches!(event.kind, EventKind::Push(_))).await;
            since = event.seq;
            let EventKind::Push(exchange) = event.kind else { unreachable!() };
            match exchange.status {
                Some(200) => return,
                Some(503) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn exchange(&mut self) -> PushExchange {
        let event = self.handle().wait_for(self.seen, |event| matches!(event.kind, EventKind::Push(_))).await;
        self.seen = event.seq;
        let EventKind::Push(exchange) = event.kind else { unreachable!() };
        *exchange
    }

    /// Passes time: more than the pace of the sandbox and the window of the partner.
    fn later(&mut self) {
        self.seen = self.handle().last_event();
        self.handle().advance_clock(40).unwrap();
    }

    fn write(&self) {
        self.handle().phone_send_text(NUMBER, "alice", "a text that no server can read").unwrap();
    }

    fn broken(&self) -> Vec<String> {
        let events = self.handle().events(0).into_iter();
        events
            .filter_map(|event| match event.kind {
                EventKind::Broken { detail, .. } => Some(detail),
                _ => None,
            })
            .collect()
    }

    async fn shutdown(self) {
        self.sandbox.shutdown().await;
        self.partner.shutdown().await;
    }
}

#[tokio::test]
async fn a_message_wakes_a_device_over_either_version_of_http() {
    for pushing in [Pushing::Http1, Pushing::Http2] {
        let mut town = Town::new(pushing).await;
        // The one by which it was found out that the keys are known.
        town.device.wake().await;
        town.later();
        town.write();
        assert_eq!(town.exchange().await.status, Some(200));
        let wake = town.device.wake().await;
        let members: Vec<_> = wake.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((members, &wake["type"]), (vec!["id", "type"], &serde_json::json!("wake")));
        town.shutdown().await;
    }
}

#[tokio::test]
async fn bearers_that_must_not_count_do_not_and_those_that_must_do() {
    let mut town = Town::new(Pushing::Http1).await;
    town.device.wake().await;
    for fault in [Fault::PushExpired, Fault::PushAudience] {
        town.later();
        town.handle().set_fault(fault, Probability::ALWAYS, Some(1));
        town.write();
        let statuses = [town.exchange().await.status, town.exchange().await.status];
        assert_eq!(statuses, [Some(401), Some(200)], "{fault}");
        town.device.wake().await;
    }
    town.handle().set_fault(Fault::PushClock, Probability::ALWAYS, None);
    for _ in 0..10 {
        town.later();
        town.write();
        assert_eq!(town.exchange().await.status, Some(200));
        town.device.wake().await;
    }
    assert_eq!(town.broken(), Vec::<String>::new());
    town.shutdown().await;
}

#[tokio::test]
async fn the_keys_move_on_while_pushes_go() {
    let mut town = Town::new(Pushing::Http1).await;
    town.device.wake().await;
    let mut tokens = std::collections::HashSet::new();
    for _ in 0..4 {
        town.handle().rotate_push_keys().await.unwrap();
        town.later();
        town.write();
        // The partner looks the new key up at once, since it is not one that it knows.
        let exchange = town.exchange().await;
        assert_eq!(exchange.status, Some(200));
        tokens.insert(exchange.token_sha256);
        town.device.wake().await;
    }
    assert_eq!(tokens.len(), 4);
    town.shutdown().await;
}

#[tokio::test]
async fn everything_that_goes_wrong_at_once_still_wakes_the_device() {
    let mut town = Town::new(Pushing::Http1).await;
    town.device.wake().await;
    for fault in [
        Fault::PushTwice,
        Fault::PushUnknown,
        Fault::PushVersion,
        Fault::PushBrokenBefore,
        Fault::PushAudience,
    ] {
        town.handle().set_fault(fault, Probability::ALWAYS, Some(1));
    }
    town.later();
    town.write();
    let planned = |kind: &EventKind| matches!(kind, EventKind::PushPlanned { .. });
    town.handle().wait_for(town.seen, |event| planned(&event.kind)).await;
    town.handle().advance_clock(2).unwrap();
    town.device.wake().await;
    assert_eq!(town.broken(), Vec::<String>::new());
    town.shutdown().await;
}
