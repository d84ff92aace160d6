//! Reading a request, and refusing it.

use std::{collections::VecDeque, convert::Infallible, error::Error, fmt::Write as _};

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::{Address, PreKeyId, SignedPreKeyId};
use rand::{Rng as _, TryCryptoRng, TryRng};
use serde_json::{Map, Value};

/// The fields of a reply beside `id` and `ok`.
pub(super) type Fields = Map<String, Value>;

/// Why a request is refused: the kind of the line protocol, and free text.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: &'static str,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new("bad_request", detail)
    }

    /// The kind with an error and its causes as the detail.
    pub(super) fn because(kind: &'static str, error: &dyn Error) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            // Writing to a string does not fail.
            let _ = write!(detail, ": {error}");
            cause = error.source();
        }
        Self { kind, detail }
    }
}

/// A request, with readers for the shapes of the line protocol. `null` is the same as absent.
pub(super) struct Request<'a>(pub(super) &'a Value);

impl<'a> Request<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A nested object.
    pub(super) fn part(&self, name: &str) -> Result<Request<'a>, Refusal> {
        match self.get(name) {
            Some(value) if value.is_object() => Ok(Request(value)),
            _ => Err(Refusal::bad(format!("{name} is no object"))),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, Refusal> {
        let text = self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| Refusal::bad(format!("{name} is no text")))
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, Refusal> {
        self.get(name).map(|value| number(value, name)).transpose()
    }

    pub(super) fn required_number(&self, name: &str) -> Result<u32, Refusal> {
        self.number(name)?.ok_or_else(|| Refusal::bad(format!("{name} is missing")))
    }

    pub(super) fn hex(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        self.optional_hex(name)?.ok_or_else(|| Refusal::bad(format!("{name} is missing")))
    }

    pub(super) fn optional_hex(&self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let bytes = value.as_str().and_then(|text| hex::decode(text).ok());
        bytes.map(Some).ok_or_else(|| Refusal::bad(format!("{name} is no hex")))
    }

    pub(super) fn private(&self, name: &str) -> Result<Option<PrivateKey>, Refusal> {
        Ok(self.secret(name)?.map(PrivateKey::from_bytes))
    }

    fn secret(&self, name: &str) -> Result<Option<[u8; 32]>, Refusal> {
        let Some(bytes) = self.optional_hex(name)? else { return Ok(None) };
        let length = bytes.len();
        let key = bytes.try_into();
        key.map(Some).map_err(|_| Refusal::new("invalid_key", format!("{name} has {length} bytes, not 32")))
    }

    pub(super) fn required_private(&self, name: &str) -> Result<PrivateKey, Refusal> {
        self.private(name)?.ok_or_else(|| Refusal::bad(format!("{name} is missing")))
    }

    /// A public key of 32 bytes, or of 33 with the type in front.
    pub(super) fn public(&self, name: &str) -> Result<PublicKey, Refusal> {
        let bytes = self.hex(name)?;
        let key =
            if bytes.len() == 32 { PublicKey::from_slice(&bytes) } else { PublicKey::from_typed(&bytes) };
        key.map_err(|error| Refusal::because("invalid_key", &error))
    }

    /// `{"name": text, "device": number}`, or only the name.
    pub(super) fn address(&self, name: &str) -> Result<Address, Refusal> {
        if self.get(name).is_some_and(Value::is_string) {
            return Ok(Address::new(self.text(name)?, 0));
        }
        let part = self.part(name)?;
        Ok(Address::new(part.text("name")?, part.number("device")?.unwrap_or(0)))
    }

    pub(super) fn list(&self, name: &str) -> Result<&'a [Value], Refusal> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(Refusal::bad(format!("{name} is no list"))),
        }
    }

    /// The keys that this request wants to be drawn, then real randomness.
    pub(super) fn draws(&self) -> Result<Draws, Refusal> {
        let base = self.secret("base_private")?;
        Ok(Draws { first: base.into_iter().collect(), then: self.secret("new_ratchet")? })
    }
}

pub(super) fn number(value: &Value, name: &str) -> Result<u32, Refusal> {
    let number = value.as_u64().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| Refusal::bad(format!("{name} is no 32-bit number")))
}

pub(super) fn prekey_id(id: u32) -> Result<PreKeyId, Refusal> {
    PreKeyId::new(id).map_err(|error| Refusal::because("bad_request", &error))
}

pub(super) fn signed_prekey_id(id: u32) -> Result<SignedPreKeyId, Refusal> {
    SignedPreKeyId::new(id).map_err(|error| Refusal::because("bad_request", &error))
}

/// A random source that gives out private keys on demand: the base key first, then the ratchet key every time, and
/// real randomness for everything else.
pub(super) struct Draws {
    first: VecDeque<[u8; 32]>,
    then: Option<[u8; 32]>,
}

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(rand::rng().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(rand::rng().next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let given = if bytes.len() == 32 { self.first.pop_front().or(self.then) } else { None };
        match given {
            Some(key) => bytes.copy_from_slice(&key),
            None => rand::rng().fill_bytes(bytes),
        }
        Ok(())
    }
}

impl TryCryptoRng for Draws {}
