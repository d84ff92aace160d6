//! What the document says about pushes.

use serde_json::{Value, json};

use super::Call;

pub(in crate::control) fn list_pushes() -> Value {
    let example = json!({
        "pushes": [{
            "user": "1-10853634039893@interop", "integrator": 1, "to": "alice", "state": "waiting",
            "why": "activity", "due": 1_763_870_404, "tries": 2,
            "last": { "t": 1_763_870_402, "status": 503, "outcome": "refused for now" },
        }],
        "partners": [{ "integrator": 1, "failures": 2 }],
    });
    let summary = "Pushes to partners: what is planned for whom, and how the last one ended";
    Call::new("listPushes", summary, "200", Some(("Pushes", example))).value()
}

pub(in crate::control) fn push() -> Value {
    let summary = "Pushes for a partner's user now, connected or not; the journal has the exchange";
    Call::new("push", summary, "202", None).body("PushTo", json!({ "to": "alice" })).value()
}
