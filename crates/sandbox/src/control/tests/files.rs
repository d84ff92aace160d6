//! Files over the API.

use super::*;

/// "a picture", and its SHA-256.
const DATA: &str = "YSBwaWN0dXJl";

#[tokio::test]
async fn files_go_from_phone_to_phone() {
    let world = World::with_phones().await;
    let picture =
        json!({ "to": ANN, "kind": "image", "mimetype": "image/jpeg", "data": DATA, "caption": "look" });
    let sent = world.post(&format!("/phones/{JOE}/files"), &picture).await;
    assert_eq!(sent.status, 202, "{}", sent.body);
    let shown = world.messages_when(ANN, |messages| !messages.is_empty()).await;
    assert_eq!((&shown[0]["kind"], &shown[0]["text"]), (&"image".into(), &"look".into()));
    let which = json!({ "peer": JOE, "id": sent.body["id"] });
    let fetched = world.post(&format!("/phones/{ANN}/files/fetch"), &which).await;
    assert_eq!(fetched.status, 200, "{}", fetched.body);
    assert_eq!((&fetched.body["file_length"], &fetched.body["caption"]), (&9.into(), &"look".into()));
    let hash = ring::digest::digest(&ring::digest::SHA256, b"a picture");
    let expected = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, hash);
    assert_eq!(fetched.body["file_sha256"], expected);
}

#[tokio::test]
async fn mistakes_with_files_are_named() {
    let world = World::with_phones().await;
    let file = |member: &str, value: Value| {
        let mut file = json!({ "to": ANN, "kind": "image", "mimetype": "image/jpeg", "data": DATA });
        file[member] = value;
        file
    };
    let path = format!("/phones/{JOE}/files");
    for (body, status, slug) in [
        (file("kind", "picture".into()), 422, "bad-kind"),
        (file("kind", "thumbnail-image".into()), 422, "bad-kind"),
        (file("data", "###".into()), 422, "bad-data"),
        (file("to", "nobody".into()), 422, "no-such-user"),
        (file("more", 1.into()), 400, "bad-body"),
        (file("data", "A".repeat(33 * 1024 * 1024).into()), 413, "too-large"),
    ] {
        let answer = world.post(&path, &body).await;
        let kind = answer.body["type"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, kind.ends_with(slug)), (status, true), "{kind} instead of {slug}");
    }
    let sent = world.post(&format!("/phones/{JOE}/messages"), &json!({ "to": ANN, "text": "no file" })).await;
    world.messages_when(ANN, |messages| !messages.is_empty()).await;
    let which = json!({ "peer": JOE, "id": sent.body["id"] });
    let none = world.post(&format!("/phones/{ANN}/files/fetch"), &which).await;
    assert_eq!(none.status, 422);
    assert!(none.body["type"].as_str().unwrap().ends_with("no-such-file"));
}
