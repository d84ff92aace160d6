//! JIDs: the addresses of users, groups, servers and services.

use std::fmt;
use std::str::FromStr;

/// The servers that are known by name. WR; PEERS know no others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Server {
    User,
    Lid,
    Group,
    Broadcast,
    Newsletter,
    Hosted,
    HostedLid,
    Messenger,
    Interop,
    Bot,
    Legacy,
    Call,
    /// Any other name; never one of the names above.
    Other(Box<str>),
}

impl Server {
    /// The server of a known name.
    pub(crate) fn known(name: &str) -> Option<Self> {
        Some(match name {
            "s.whatsapp.net" => Self::User,
            "lid" => Self::Lid,
            "g.us" => Self::Group,
            "broadcast" => Self::Broadcast,
            "newsletter" => Self::Newsletter,
            "hosted" => Self::Hosted,
            "hosted.lid" => Self::HostedLid,
            "msgr" => Self::Messenger,
            "interop" => Self::Interop,
            "bot" => Self::Bot,
            "c.us" => Self::Legacy,
            "call" => Self::Call,
            _ => return None,
        })
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.into()))
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::User => "s.whatsapp.net",
            Self::Lid => "lid",
            Self::Group => "g.us",
            Self::Broadcast => "broadcast",
            Self::Newsletter => "newsletter",
            Self::Hosted => "hosted",
            Self::HostedLid => "hosted.lid",
            Self::Messenger => "msgr",
            Self::Interop => "interop",
            Self::Bot => "bot",
            Self::Legacy => "c.us",
            Self::Call => "call",
            Self::Other(name) => name,
        }
    }
}

/// An address: a user at a server, with a device and, at the server `interop`, an integrator.
///
/// The text form is `[integrator-]user[:device]@server`; parts that are 0 are left out, and an empty user
/// gives `@server` (SEED). The three ways to spell an interoperability address on the wire, and a user
/// written as `1-108` at `interop`, are the same `Jid`.
///
/// ```
/// use landbridge_wire::Jid;
///
/// let jid: Jid = "1-108@interop".parse()?;
/// assert_eq!(jid, Jid::interop(1, "108"));
/// assert_eq!(Jid::user("31612345678").with_device(2).to_string(), "31612345678:2@s.whatsapp.net");
/// # Ok::<(), landbridge_wire::JidError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    user: Box<str>,
    server: Server,
    device: u16,
    integrator: u16,
}

impl Jid {
    /// An address with any user, which may be empty, at any server. At `interop` a user of the form
    /// `<1…65535>-<rest>` is taken apart into integrator and user.
    pub fn new(user: impl Into<String>, server: &str) -> Self {
        Self::from_parts(user.into().into_boxed_str(), Server::named(server), 0, 0)
    }

    /// `user@s.whatsapp.net`.
    pub fn user(user: impl Into<String>) -> Self {
        Self::from_parts(user.into().into_boxed_str(), Server::User, 0, 0)
    }

    /// `user@lid`: a user under a hidden identity.
    pub fn lid(user: impl Into<String>) -> Self {
        Self::from_parts(user.into().into_boxed_str(), Server::Lid, 0, 0)
    }

    /// `group@g.us`.
    pub fn group(group: impl Into<String>) -> Self {
        Self::from_parts(group.into().into_boxed_str(), Server::Group, 0, 0)
    }

    /// A server itself, with an empty user: `@server`.
    pub fn server(server: &str) -> Self {
        Self::from_parts("".into(), Server::named(server), 0, 0)
    }

    /// `integrator-id@interop`: a user of another service. Integrator 0 stands for none.
    pub fn interop(integrator: u16, id: impl fmt::Display) -> Self {
        Self::from_parts(id.to_string().into_boxed_str(), Server::Interop, 0, integrator)
    }

    /// The same address with this device; 0 stands for none.
    #[must_use]
    pub fn with_device(mut self, device: u16) -> Self {
        self.device = device;
        self
    }

    /// The same address without a device.
    #[must_use]
    pub fn without_device(self) -> Self {
        self.with_device(0)
    }

    /// Builds the one value that stands for these parts. `integrator` must be 0 at other servers than
    /// `interop`.
    pub(crate) fn from_parts(user: Box<str>, server: Server, device: u16, integrator: u16) -> Self {
        if integrator == 0
            && server == Server::Interop
            && let Some((integrator, rest)) = split_integrator(&user)
        {
            return Self { user: rest.into(), server, device, integrator };
        }
        Self { user, server, device, integrator }
    }

    /// The user, without integrator and device; may be empty.
    pub fn user_part(&self) -> &str {
        &self.user
    }

    /// Name of the server.
    pub fn server_part(&self) -> &str {
        self.server.name()
    }

    /// Number of the device; 0 if none is named.
    pub fn device(&self) -> u16 {
        self.device
    }

    /// Number of the integrator; 0 if none is named.
    pub fn integrator(&self) -> u16 {
        self.integrator
    }

    /// Whether this is a user at `s.whatsapp.net`.
    pub fn is_user(&self) -> bool {
        self.server == Server::User && !self.user.is_empty()
    }

    /// Whether this is a user at `lid`.
    pub fn is_lid(&self) -> bool {
        self.server == Server::Lid && !self.user.is_empty()
    }

    /// Whether this is a group.
    pub fn is_group(&self) -> bool {
        self.server == Server::Group && !self.user.is_empty()
    }

    /// Whether this is a user at `interop`.
    pub fn is_interop(&self) -> bool {
        self.server == Server::Interop && !self.user.is_empty()
    }

    /// Whether this is a server itself.
    pub fn is_server(&self) -> bool {
        self.user.is_empty()
    }

    /// Whether both name the same user, whatever the device.
    pub fn same_user(&self, other: &Self) -> bool {
        self.user == other.user && self.server == other.server && self.integrator == other.integrator
    }

    pub(crate) fn known_server(&self) -> &Server {
        &self.server
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.integrator != 0 {
            write!(f, "{}-", self.integrator)?;
        }
        f.write_str(&self.user)?;
        if self.device != 0 {
            write!(f, ":{}", self.device)?;
        }
        write!(f, "@{}", self.server.name())
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jid({self})")
    }
}

/// A text that is no JID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JidError {
    /// There is not exactly one `@`, and the text is not the bare name of a known server.
    #[error("a JID has one @")]
    At,
    /// Nothing stands behind the `@`.
    #[error("a JID has a server")]
    Server,
    /// What stands behind the `:` is no number from 1 to 65535 without leading zeros.
    #[error("a JID's device is a number from 1 to 65535")]
    Device,
    /// What stands before an integrator's `-` is no number from 1 to 65535, or the server is not `interop`.
    #[error("a JID's integrator is a number from 1 to 65535 at the server interop")]
    Integrator,
}

impl FromStr for Jid {
    type Err = JidError;

    /// Reads the text form. A known server's bare name, as some peers print it, is that server.
    fn from_str(text: &str) -> Result<Self, JidError> {
        let Some((left, server)) = text.split_once('@') else {
            return Server::known(text)
                .map(|server| Self::from_parts("".into(), server, 0, 0))
                .ok_or(JidError::At);
        };
        if server.contains('@') {
            return Err(JidError::At);
        }
        if server.is_empty() {
            return Err(JidError::Server);
        }
        let (user, device) = match left.split_once(':') {
            Some((user, device)) => (user, number(device).ok_or(JidError::Device)?),
            None => (left, 0),
        };
        Ok(Self::from_parts(user.into(), Server::named(server), device, 0))
    }
}

/// A decimal number from 1 to 65535 without sign and leading zeros.
pub(crate) fn number(digits: &str) -> Option<u16> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits || digits.starts_with('0') {
        return None;
    }
    digits.parse().ok()
}

/// Takes `<1…65535>-<rest>` apart; the rest is not empty.
pub(crate) fn split_integrator(user: &str) -> Option<(u16, &str)> {
    let (integrator, rest) = user.split_once('-')?;
    if rest.is_empty() {
        return None;
    }
    Some((number(integrator)?, rest))
}
