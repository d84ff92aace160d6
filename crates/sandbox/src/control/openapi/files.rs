//! What the document says about files.

use serde_json::{Value, json};

use super::Call;

pub(in crate::control) fn send_file() -> Value {
    let summary = "Lets a phone send a file: it is encrypted and uploaded to the media server";
    let body = json!({
        "to": "alice", "kind": "image", "mimetype": "image/jpeg", "data": "/9j/4AAQSkZJRg==", "caption": "the harbour",
    });
    let example = json!({ "id": "3EB0C431C26A1916E07E" });
    Call::new("sendFile", summary, "202", Some(("Sent", example))).of_phone().body("NewFile", body).value()
}

pub(in crate::control) fn fetch_file() -> Value {
    let summary = "Lets a phone fetch the file of a message that it has received, and check it";
    let example = json!({
        "kind": "document", "mimetype": "application/pdf", "file_length": 20_000_000,
        "file_sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "file_name": "report.pdf",
    });
    let body = json!({ "peer": "alice", "id": "3EB0C431C26A1916E07E" });
    Call::new("fetchFile", summary, "200", Some(("FileInfo", example))).of_phone().body("About", body).value()
}
