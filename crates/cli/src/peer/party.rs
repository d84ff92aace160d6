//! The party: its state, and which command is which.

use landbridge_signal::{Address, IdentityKeyPair, IdentityStore as _, MemorySignalStore, TrustPolicy};
use serde_json::{Value, json};

use super::{
    commands, groups,
    request::{Fields, Refusal, Request},
    state, tools,
};

/// What answers the lines: nobody until `create`.
#[derive(Default)]
pub(super) struct Party {
    created: Option<Created>,
}

/// A party with an identity.
pub(super) struct Created {
    pub(super) name: String,
    pub(super) policy: TrustPolicy,
    pub(super) store: MemorySignalStore,
}

impl Created {
    /// The address under which the own sender keys lie.
    pub(super) fn own_address(&self) -> Address {
        Address::new(self.name.clone(), 0)
    }

    pub(super) fn identity(&self) -> Result<IdentityKeyPair, Refusal> {
        self.store.identity_key().map_err(|error| Refusal::because("internal", &error))
    }

    /// The reply to `create` and `rotate_identity`.
    pub(super) fn introduce(&self) -> Result<Fields, Refusal> {
        let registration_id =
            self.store.registration_id().map_err(|error| Refusal::because("internal", &error))?;
        Ok(fields(json!({
            "identity_public": hex::encode(self.identity()?.public().to_typed()),
            "registration_id": registration_id,
        })))
    }
}

impl Party {
    /// The reply to one line.
    pub(super) fn answer(&mut self, line: &[u8]) -> Value {
        let Ok(request) = serde_json::from_slice::<Value>(line) else {
            return json!({"id": null, "ok": false, "error": "bad_request", "detail": "the line is no JSON"});
        };
        let id = request.get("id").cloned().unwrap_or_default();
        match self.dispatch(&Request(&request)) {
            Ok(mut reply) => {
                reply.insert("id".into(), id);
                reply.insert("ok".into(), true.into());
                Value::Object(reply)
            }
            Err(Refusal { kind, detail }) => json!({"id": id, "ok": false, "error": kind, "detail": detail}),
        }
    }

    fn dispatch(&mut self, request: &Request<'_>) -> Result<Fields, Refusal> {
        // A step of a recorded conversation names its command in `do`.
        let command = request.text("cmd").or_else(|_| request.text("do"));
        let command = command.map_err(|_| Refusal::bad("cmd is missing"))?;
        match command {
            "hello" => Ok(fields(json!({
                "protocol": "signal-peer/1",
                "library": "landbridge",
                "library_version": env!("CARGO_PKG_VERSION"),
                "features": ["session", "group", "fingerprint", "xeddsa", "export"],
            }))),
            "create" | "import" => {
                let make = if command == "create" { commands::create } else { state::import };
                let created = make(request)?;
                let reply = created.introduce()?;
                self.created = Some(created);
                Ok(reply)
            }
            "inspect" => tools::inspect(request),
            "verify" => tools::verify(request),
            "public_key" => tools::public_key(request),
            "agree" => tools::agree(request),
            "fingerprint_compare" => tools::fingerprint_compare(request),
            "sign" => tools::sign(self.created.as_ref(), request),
            "fingerprint" => tools::fingerprint(self.created.as_ref(), request),
            "hkdf" | "session_secrets" | "sender_key_secrets" => Err(Refusal::new("unsupported", command)),
            _ => self.dispatch_created(command, request),
        }
    }

    fn dispatch_created(&mut self, command: &str, request: &Request<'_>) -> Result<Fields, Refusal> {
        let run: fn(&mut Created, &Request<'_>) -> Result<Fields, Refusal> = match command {
            "export" => state::export,
            "policy" => commands::policy,
            "rotate_identity" => commands::rotate_identity,
            "add_prekeys" => commands::add_prekeys,
            "add_signed_prekey" => commands::add_signed_prekey,
            "remove_prekeys" => commands::remove_prekeys,
            "list_prekeys" => commands::list_prekeys,
            "bundle" => commands::bundle,
            "process_bundle" => commands::process_bundle,
            "encrypt" => commands::encrypt,
            "decrypt" => commands::decrypt,
            "session_info" => commands::session_info,
            "archive_session" => commands::archive_session,
            "delete_session" => commands::delete_session,
            "get_identity" => commands::get_identity,
            "forget_identity" => commands::forget_identity,
            "set_identity" => commands::set_identity,
            "sender_key_create" => groups::create,
            "sender_key_process" => groups::process,
            "sender_key_encrypt" => groups::encrypt,
            "sender_key_decrypt" => groups::decrypt,
            "sender_key_info" => groups::info,
            "sender_key_delete" => groups::delete,
            other => return Err(Refusal::new("unknown_command", other)),
        };
        let created = self.created.as_mut().ok_or_else(no_identity)?;
        run(created, request)
    }
}

pub(super) fn no_identity() -> Refusal {
    Refusal::new("no_identity", "send \"create\" first")
}

/// The fields of an object that was written as one.
pub(super) fn fields(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}
