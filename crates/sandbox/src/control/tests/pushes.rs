//! Pushes over the control API.

use serde_json::json;

use super::{JOE, World, problem};

#[tokio::test]
async fn they_are_listed_and_asked_for() {
    let world = World::with_phones().await;
    let login = world.enlist("alice");
    assert_eq!(world.get("/pushes").await.body, json!({ "pushes": [], "partners": [] }));
    assert_eq!(world.post("/pushes", &json!({ "to": "alice" })).await.status, 202);
    // Nobody listens where the partner should be.
    world
        .sandbox
        .handle()
        .wait_for(0, |event| matches!(event.kind, crate::events::EventKind::PushPlanned { .. }))
        .await;
    let report = world.get("/pushes").await.body;
    let alice = &report["pushes"][0];
    assert_eq!(
        (&alice["user"], &alice["to"], &alice["state"]),
        (&json!(login), &json!("alice"), &json!("waiting"))
    );
    assert_eq!((&alice["why"], &alice["tries"]), (&json!("by_hand"), &json!(1)));
    assert!(alice["due"].as_u64() > Some(1_800_000_000) && alice["last"]["status"].is_null());
    assert_eq!(
        (&report["partners"][0]["integrator"], &report["partners"][0]["failures"]),
        (&json!(1), &json!(1))
    );
    let journal = world.get("/journal").await.body;
    let exchange =
        journal["events"].as_array().unwrap().iter().find(|event| event["event"] == "push").unwrap();
    assert_eq!((&exchange["why"], &exchange["user"]), (&json!("by_hand"), &json!(login)));
    for (body, expected) in [
        (json!({ "to": "nobody" }), (422, "no-such-user")),
        (json!({ "to": JOE }), (422, "no-pushes")),
        (json!({ "for": "alice" }), (400, "bad-body")),
    ] {
        assert_eq!(problem(&world.post("/pushes", &body).await), expected);
    }
    world.sandbox.shutdown().await;
}
