//! Enlistment, tokens, key sets.

use serde::{Deserialize, Serialize};

/// Which fields an enlistment request sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnlistmentForm {
    /// All ten of the published example.
    #[default]
    Full,
    /// Without the two identifiers, as v1.0.3 has it.
    V103,
}

/// Enlistment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnlistmentProfile {
    /// Address of the request (SEED).
    pub url: String,
    /// Which fields are sent.
    pub form: EnlistmentForm,
    /// Form field that carries the protocol version; empty: not sent, as in the example of the SEED.
    pub version_field: String,
    /// Time for the connection.
    pub connect_timeout_s: u64,
    /// Time for everything.
    pub timeout_s: u64,
    /// Wait when the server says to try later but not when.
    pub retry_after_s: u64,
    /// Longest wait.
    pub retry_after_max_s: u64,
    /// Tries after failures of the network or the server.
    pub tries: u32,
    /// Largest answer.
    pub max_answer_bytes: usize,
    /// Largest request that a server reads.
    pub max_request_bytes: usize,
    /// Requests per user and hour.
    pub per_user_hour: u32,
    /// Requests per source address and minute.
    pub per_address_minute: u32,
    /// Requests per integrator and second.
    pub per_integrator_second: u32,
    /// Identical repeats within this time count once.
    pub repeat_window_s: u64,
}

impl Default for EnlistmentProfile {
    fn default() -> Self {
        Self {
            url: "https://v.whatsapp.net/3p/interop_reg".to_owned(),
            form: EnlistmentForm::Full,
            version_field: String::new(),
            connect_timeout_s: 10,
            timeout_s: 30,
            retry_after_s: 60,
            retry_after_max_s: 3_600,
            tries: 5,
            max_answer_bytes: 64 * 1024,
            max_request_bytes: 16 * 1024,
            per_user_hour: 10,
            per_address_minute: 60,
            per_integrator_second: 100,
            repeat_window_s: 10,
        }
    }
}

/// Claim of a token that names the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierClaim {
    /// `sub`.
    #[default]
    Sub,
    /// `preferred_username`.
    PreferredUsername,
    /// `phone_number`.
    PhoneNumber,
    /// `email`.
    Email,
}

impl IdentifierClaim {
    /// Name of the claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::PreferredUsername => "preferred_username",
            Self::PhoneNumber => "phone_number",
            Self::Email => "email",
        }
    }
}

/// The partner's user tokens (RS256 and 4,096 bytes SEED).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenProfile {
    /// Audience.
    pub audience: String,
    /// Claim that names the user.
    pub identifier: IdentifierClaim,
    /// Longest life that a verifier takes.
    pub max_life_s: u64,
    /// Leeway of a verifier's clock.
    pub leeway_s: u64,
    /// A client fetches a new token when less than this is left.
    pub renew_before_s: u64,
}

impl Default for TokenProfile {
    fn default() -> Self {
        Self {
            audience: "WHATSAPP".to_owned(),
            identifier: IdentifierClaim::Sub,
            max_life_s: 86_400,
            leeway_s: 60,
            renew_before_s: 300,
        }
    }
}

/// Key sets of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySetProfile {
    /// Path of the partner's set (SEED).
    pub partner_path: String,
    /// Least time between two fetches.
    pub refresh_min_s: u64,
    /// Greatest time between two fetches.
    pub refresh_max_s: u64,
    /// Time between two fetches when the answer names none.
    pub refresh_default_s: u64,
    /// Least time between two fetches because of an unknown key id, and how long a missing id is remembered.
    pub unknown_key_s: u64,
    /// How long a verification waits for such a fetch.
    pub wait_s: u64,
    /// How long a set lives after its last good fetch.
    pub dead_after_s: u64,
    /// Largest set.
    pub max_bytes: usize,
    /// Time for one fetch.
    pub fetch_timeout_s: u64,
}

impl Default for KeySetProfile {
    fn default() -> Self {
        Self {
            partner_path: "/.well-known/oauth/openid/jwks".to_owned(),
            refresh_min_s: 60,
            refresh_max_s: 3_600,
            refresh_default_s: 600,
            unknown_key_s: 30,
            wait_s: 3,
            dead_after_s: 86_400,
            max_bytes: 64 * 1024,
            fetch_timeout_s: 5,
        }
    }
}
