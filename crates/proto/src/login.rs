//! The login payload: what an interop client sends inside the last handshake message, and the server's check of it
//! (rule H4).
//!
//! That the payload carries product, account number and token is read from fields that all open clients know and none
//! uses (ASSUMED); the last handshake message carrying the token is published (SEED).
//!
//! ```
//! use landbridge_proto::login::{check_login, InteropLogin, LoginClaims};
//!
//! let payload = InteropLogin::new(10_853_634_039_893, "e30.e30.c2ln").encode();
//! let LoginClaims::Interop(claims) = check_login(&payload)? else { panic!("a phone") };
//! assert_eq!((claims.account_id, claims.token.as_str()), (10_853_634_039_893, Some("e30.e30.c2ln")));
//! # Ok::<(), landbridge_proto::login::LoginError>(())
//! ```

use core::fmt;

use prost::Message as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    ParseError, ParseLimits,
    handshake::{
        ClientPayload,
        client_payload::{
            ConnectReason, ConnectType, InteropData, Product, UserAgent,
            user_agent::{AppVersion, Platform, ReleaseChannel},
        },
    },
    parse,
};

/// Longest token, in bytes (SEED: 4 kilobytes).
pub const MAX_TOKEN: usize = 4096;

/// A token as sent: the JWT's ASCII bytes. Wiped on drop, compared in constant time, never printed.
#[derive(Clone)]
pub struct Token(Zeroizing<Vec<u8>>);

impl Token {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(&self.0).ok()
    }
}

impl<T: Into<Vec<u8>>> From<T> for Token {
    fn from(token: T) -> Self {
        Self(Zeroizing::new(token.into()))
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("[redacted]")
    }
}

/// The login of an interop client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InteropLogin {
    /// The number behind the hyphen of the enlistment's `login`; above 0.
    pub account_id: u64,
    /// The JWT, 1 to 4,096 bytes.
    pub token: Token,
    /// Name shown to others.
    pub push_name: Option<String>,
    /// Protocol version, as `primary` of the app version (ASSUMED).
    pub version: u32,
    /// The mailbox waits for `<active/>` (PEERS); on by default.
    pub passive: bool,
    /// `pull`, if it is to be said at all (PEERS say true).
    pub pull: Option<bool>,
    /// Why the client connects.
    pub connect_reason: Option<ConnectReason>,
    /// Over which network.
    pub connect_type: Option<ConnectType>,
    /// Fetch and leave: after a push.
    pub short_connect: Option<bool>,
    /// Random for each connection.
    pub session_id: Option<i32>,
    /// Failed attempts before this one.
    pub connect_attempt_count: Option<u32>,
    /// Whether read receipts are sent: the user's setting.
    pub enable_read_receipts: Option<bool>,
    /// What the client runs on.
    pub device: Option<Device>,
}

/// What a client runs on, as far as it tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Operating system.
    pub platform: Option<Platform>,
    /// Version of the operating system.
    pub os_version: Option<String>,
    /// Manufacturer.
    pub manufacturer: Option<String>,
    /// Model.
    pub model: Option<String>,
}

impl InteropLogin {
    /// A login in protocol version 1, with nothing optional.
    #[must_use]
    pub fn new(account_id: u64, token: impl Into<Token>) -> Self {
        Self {
            account_id,
            token: token.into(),
            push_name: None,
            version: 1,
            passive: true,
            pull: None,
            connect_reason: None,
            connect_type: None,
            short_connect: None,
            session_id: None,
            connect_attempt_count: None,
            enable_read_receipts: None,
            device: None,
        }
    }

    /// The payload to seal into the handshake. Wiped on drop, as it holds the token.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let device = self.device.as_ref();
        let user_agent = UserAgent {
            platform: device.and_then(|device| device.platform).map(i32::from),
            app_version: Some(AppVersion { primary: Some(self.version), ..AppVersion::default() }),
            os_version: device.and_then(|device| device.os_version.clone()),
            manufacturer: device.and_then(|device| device.manufacturer.clone()),
            device: device.and_then(|device| device.model.clone()),
            release_channel: device.map(|_| ReleaseChannel::Release.into()),
            ..UserAgent::default()
        };
        let mut payload = ClientPayload {
            passive: Some(self.passive),
            user_agent: Some(user_agent),
            push_name: self.push_name.clone(),
            session_id: self.session_id,
            short_connect: self.short_connect,
            connect_type: self.connect_type.map(i32::from),
            connect_reason: self.connect_reason.map(i32::from),
            connect_attempt_count: self.connect_attempt_count,
            pull: self.pull,
            product: Some(Product::Interop.into()),
            interop_data: Some(InteropData {
                account_id: Some(self.account_id),
                token: Some(self.token.as_bytes().to_vec()),
                enable_read_receipts: self.enable_read_receipts,
            }),
            ..ClientPayload::default()
        };
        let bytes = Zeroizing::new(payload.encode_to_vec());
        drop(payload.interop_data.take().and_then(|data| data.token).map(Zeroizing::new));
        bytes
    }
}

/// What a login claims; the token is still to be verified.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LoginClaims {
    /// An interop client.
    Interop(InteropClaims),
    /// A WhatsApp phone.
    Phone(PhoneClaims),
}

/// The claims of an interop client.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InteropClaims {
    /// Account number, above 0.
    pub account_id: u64,
    /// The JWT, 1 to 4,096 bytes, not verified.
    pub token: Token,
    /// Protocol version, if the client states one (ASSUMED: `primary` of the app version).
    pub version: Option<u32>,
    /// The mailbox waits for `<active/>`.
    pub passive: bool,
    /// Name shown to others.
    pub push_name: Option<String>,
    /// Why the client connects; unknown numbers are none.
    pub connect_reason: Option<ConnectReason>,
    /// Fetch and leave.
    pub short_connect: bool,
    /// Random for each connection.
    pub session_id: Option<i32>,
    /// Whether read receipts are sent, if the client says so.
    pub enable_read_receipts: Option<bool>,
}

/// The claims of a WhatsApp phone.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PhoneClaims {
    /// Phone number in international form, without plus; above 0.
    pub username: u64,
    /// The mailbox waits for `<active/>`.
    pub passive: bool,
    /// Name shown to others.
    pub push_name: Option<String>,
    /// Why the phone connects; unknown numbers are none.
    pub connect_reason: Option<ConnectReason>,
}

/// Reads and checks a login payload (rule H4). Whether the token is good is another question.
///
/// # Errors
/// [`LoginError`] if the bytes do not read, or product, account, token and username do not go together.
pub fn check_login(payload: &[u8]) -> Result<LoginClaims, LoginError> {
    let payload: ClientPayload =
        parse(payload, &ParseLimits::default()).map_err(|source| LoginError::Malformed { source })?;
    // Only phones of old leave the product out; its default is theirs.
    let product = payload.product.unwrap_or(Product::Whatsapp.into());
    match Product::try_from(product) {
        Ok(Product::Interop) => interop(payload).map(LoginClaims::Interop),
        Ok(Product::Whatsapp) => phone(payload).map(LoginClaims::Phone),
        _ => Err(LoginError::Product { product }),
    }
}

fn interop(payload: ClientPayload) -> Result<InteropClaims, LoginError> {
    let connect_reason = payload.connect_reason.and_then(|reason| ConnectReason::try_from(reason).ok());
    if payload.username.is_some() {
        return Err(LoginError::UsernameInInterop);
    }
    let data = payload.interop_data.ok_or(LoginError::NoInteropData)?;
    let token = Token::from(data.token.unwrap_or_default());
    let account_id = data.account_id.filter(|id| *id > 0).ok_or(LoginError::NoAccount)?;
    match token.as_bytes().len() {
        0 => return Err(LoginError::NoToken),
        length if length > MAX_TOKEN => return Err(LoginError::TokenTooLong { length }),
        _ => {}
    }
    Ok(InteropClaims {
        account_id,
        token,
        version: payload.user_agent.and_then(|agent| agent.app_version).and_then(|version| version.primary),
        passive: payload.passive.unwrap_or(false),
        push_name: payload.push_name,
        connect_reason,
        short_connect: payload.short_connect.unwrap_or(false),
        session_id: payload.session_id,
        enable_read_receipts: data.enable_read_receipts,
    })
}

fn phone(payload: ClientPayload) -> Result<PhoneClaims, LoginError> {
    let connect_reason = payload.connect_reason.and_then(|reason| ConnectReason::try_from(reason).ok());
    Ok(PhoneClaims {
        username: payload.username.filter(|number| *number > 0).ok_or(LoginError::NoUsername)?,
        passive: payload.passive.unwrap_or(false),
        push_name: payload.push_name,
        connect_reason,
    })
}

/// Why a login payload is refused (rule H4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The bytes are not a login payload.
    #[error("login payload cannot be read")]
    Malformed {
        /// The rule and the place.
        source: ParseError,
    },
    /// Another product than interop, or a phone.
    #[error("login of product {product} is not served")]
    Product {
        /// The number.
        product: i32,
    },
    /// A phone number beside an interop account.
    #[error("interop login with a username")]
    UsernameInInterop,
    /// Product interop without its data.
    #[error("interop login without interopData")]
    NoInteropData,
    /// No account number, or 0.
    #[error("interop login without an account number")]
    NoAccount,
    /// No token, or an empty one.
    #[error("interop login without a token")]
    NoToken,
    /// A token of more than 4,096 bytes.
    #[error("interop login with a token of {length} bytes")]
    TokenTooLong {
        /// Its length, in bytes.
        length: usize,
    },
    /// A phone without number.
    #[error("phone login without a username")]
    NoUsername,
}
