//! Key bundles: upload, count, fetch, rotate, digest (`xmlns=encrypt`, PEERS).
//!
//! Keys are plain arrays here: 32 bytes of Curve25519 u without the type byte 05, which the stanzas carry in an element
//! of its own. Registration ids are 4 bytes and key ids 3 bytes, big endian.

use landbridge_wire::{Jid, Node, NodeMut, NodeRef};

use crate::error::StanzaError;
use crate::iq::{self, IqError, IqType, Request};
use crate::profile::Profile;
use crate::read::El;

/// Namespace of the key requests.
pub const XMLNS: &str = "encrypt";
/// The one key type there is.
const KEY_TYPE: u8 = 0x05;
/// Largest key id: 3 bytes.
pub const MAX_KEY_ID: u32 = 0x00FF_FFFF;

/// A one-time prekey, public half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreKey {
    /// Id, 3 bytes on the wire; larger ones are cut by the builder.
    pub id: u32,
    /// Key, 32 bytes.
    pub value: [u8; 32],
}

/// A signed prekey, public half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedPreKey {
    /// Id, 3 bytes on the wire; larger ones are cut by the builder.
    pub id: u32,
    /// Key, 32 bytes.
    pub value: [u8; 32],
    /// Signature of the identity key over 05 and the key, 64 bytes. Not checked here.
    pub signature: [u8; 64],
}

/// Everything a stranger needs for a first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBundle {
    /// Unix seconds, seldom set.
    pub t: Option<u64>,
    /// Registration id, 4 bytes.
    pub registration: u32,
    /// Identity key, 32 bytes.
    pub identity: [u8; 32],
    /// Signed prekey.
    pub signed_prekey: SignedPreKey,
    /// One-time prekey; absent when the user has none left.
    pub prekey: Option<PreKey>,
    /// Certificate of a companion device; not for interop.
    pub device_identity: Option<Vec<u8>>,
}

/// Sets identity and signed prekey and adds one-time prekeys. A key with an id that is there already is the same key
/// again: uploads may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadKeys {
    /// Registration id, 4 bytes.
    pub registration: u32,
    /// Identity key, 32 bytes.
    pub identity: [u8; 32],
    /// One-time prekeys.
    pub prekeys: Vec<PreKey>,
    /// Signed prekey.
    pub signed_prekey: SignedPreKey,
}

impl Request for UploadKeys {
    type Reply = ();

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, XMLNS, IqType::Set)
            .child(registration(self.registration))
            .child(key_type())
            .child_with("identity", |identity| identity.bytes(&self.identity))
            .child_with("list", |list| list.children_with("key", &self.prekeys, prekey))
            .child_with("skey", |skey| signed_prekey(skey, &self.signed_prekey))
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        check_type(&iq)?;
        let list = iq.child("list", "one-time prekeys")?;
        Ok(Self {
            registration: read_registration(&iq)?,
            identity: iq.child_array("identity", KEY_32)?,
            prekeys: list.children_named("key").map(|key| read_prekey(&key)).collect::<Result<_, _>>()?,
            signed_prekey: read_signed_prekey(&iq.child("skey", "a signed prekey")?)?,
        })
    }

    fn parse_result(_node: NodeRef<'_>, _profile: &Profile) -> Result<(), StanzaError> {
        Ok(())
    }

    fn reply_node(&self, (): &(), id: &str, _profile: &Profile) -> Node {
        iq::result(id)
    }
}

/// Asks how many one-time prekeys the server still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountKeys;

impl Request for CountKeys {
    type Reply = u32;

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, XMLNS, IqType::Get).child(Node::new("count"))
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        El::root(node, "iq")?.child("count", "the question").map(|_| Self)
    }

    /// No count at all means none.
    fn parse_result(node: NodeRef<'_>, _profile: &Profile) -> Result<u32, StanzaError> {
        match El::root(node, "iq")?.opt_child("count") {
            Some(count) => Ok(count.opt_num("value", "a decimal number")?.unwrap_or(0)),
            None => Ok(0),
        }
    }

    fn reply_node(&self, count: &u32, id: &str, _profile: &Profile) -> Node {
        iq::result(id).child(Node::new("count").attr("value", *count))
    }
}

/// One user of a [`FetchKeys`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchUser {
    /// Whose keys.
    pub jid: Jid,
    /// Whether the reason is a change of the user's identity (`reason=identity`).
    pub reason: FetchReason,
}

/// Why keys are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FetchReason {
    /// There is no session.
    #[default]
    NoSession,
    /// The user's identity has changed.
    IdentityChanged,
}

/// Fetches the bundles of some users; each fetch uses up one one-time prekey per user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchKeys {
    /// The users, one or more.
    pub users: Vec<FetchUser>,
}

impl FetchKeys {
    /// For one user without a session.
    pub fn of(jid: Jid) -> Self {
        Self { users: vec![FetchUser { jid, reason: FetchReason::NoSession }] }
    }
}

/// What came for one user of a [`FetchKeys`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedUser {
    /// Whose keys.
    pub jid: Jid,
    /// The bundle, or why there is none.
    pub bundle: Result<Box<KeyBundle>, IqError>,
}

impl Request for FetchKeys {
    type Reply = Vec<FetchedUser>;

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, XMLNS, IqType::Get).child_with("key", |key| {
            key.children_with("user", &self.users, |node, user| {
                let reason = match user.reason {
                    FetchReason::NoSession => None,
                    FetchReason::IdentityChanged => Some("identity"),
                };
                node.attr("jid", &user.jid).attr_opt("reason", reason)
            })
        })
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        let key = iq.child("key", "the users")?;
        let users = key
            .children_named("user")
            .map(|user| {
                let reason = match user.opt_str("reason").as_deref() {
                    Some("identity") => FetchReason::IdentityChanged,
                    _ => FetchReason::NoSession,
                };
                Ok(FetchUser { jid: user.jid("jid")?, reason })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if users.is_empty() { Err(key.wrong_count("one <user> or more", 0)) } else { Ok(Self { users }) }
    }

    fn parse_result(node: NodeRef<'_>, _profile: &Profile) -> Result<Vec<FetchedUser>, StanzaError> {
        let iq = El::root(node, "iq")?;
        let list = iq.child("list", "one <user> for each that was asked for")?;
        list.children_named("user").map(|user| read_fetched(&user)).collect()
    }

    fn reply_node(&self, users: &Vec<FetchedUser>, id: &str, _profile: &Profile) -> Node {
        iq::result(id).child_with("list", |list| list.children_with("user", users, fetched))
    }
}

fn fetched<'n>(node: NodeMut<'n>, user: &FetchedUser) -> NodeMut<'n> {
    let node = node.attr("jid", &user.jid);
    match &user.bundle {
        Ok(bundle) => node
            .attr_opt("t", bundle.t)
            .child(registration(bundle.registration))
            .child(key_type())
            .child_with("identity", |identity| identity.bytes(&bundle.identity))
            .child_with("skey", |skey| signed_prekey(skey, &bundle.signed_prekey))
            .children_with("key", &bundle.prekey, prekey)
            .children_with("device-identity", &bundle.device_identity, |node, id| node.bytes(id)),
        Err(error) => node.child(error.element()),
    }
}

fn read_fetched(user: &El<'_, '_>) -> Result<FetchedUser, StanzaError> {
    let jid = user.jid("jid")?;
    if let Some(error) = user.opt_child("error") {
        return Ok(FetchedUser { jid, bundle: Err(IqError::read(&error)?) });
    }
    check_type(user)?;
    let bundle = KeyBundle {
        t: user.opt_time("t")?,
        registration: read_registration(user)?,
        identity: user.child_array("identity", KEY_32)?,
        signed_prekey: read_signed_prekey(&user.child("skey", "a signed prekey")?)?,
        prekey: user.opt_child("key").map(|key| read_prekey(&key)).transpose()?,
        device_identity: match user.opt_child("device-identity") {
            Some(certificate) => Some(certificate.some_bytes("a certificate")?),
            None => None,
        },
    };
    Ok(FetchedUser { jid, bundle: Ok(Box::new(bundle)) })
}

/// Replaces the signed prekey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotateSignedPreKey {
    /// The new one.
    pub signed_prekey: SignedPreKey,
}

impl Request for RotateSignedPreKey {
    type Reply = ();

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, XMLNS, IqType::Set).child_with("rotate", |rotate| {
            rotate.child_with("skey", |skey| signed_prekey(skey, &self.signed_prekey))
        })
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        let rotate = iq.child("rotate", "the new signed prekey")?;
        Ok(Self { signed_prekey: read_signed_prekey(&rotate.child("skey", "a signed prekey")?)? })
    }

    fn parse_result(_node: NodeRef<'_>, _profile: &Profile) -> Result<(), StanzaError> {
        Ok(())
    }

    fn reply_node(&self, (): &(), id: &str, _profile: &Profile) -> Node {
        iq::result(id)
    }
}

/// Asks for the server's view of the own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestKeys;

/// The server's view of one's own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDigest {
    /// Registration id, 4 bytes.
    pub registration: u32,
    /// Identity key, 32 bytes.
    pub identity: [u8; 32],
    /// Signed prekey.
    pub signed_prekey: SignedPreKey,
    /// Ids of the one-time prekeys that are left.
    pub prekey_ids: Vec<u32>,
    /// SHA-1, 20 bytes, over identity, signed prekey, its signature, and the prekeys in the order of the list. Not
    /// checked here.
    pub hash: [u8; 20],
}

impl Request for DigestKeys {
    type Reply = KeyDigest;

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, XMLNS, IqType::Get).child(Node::new("digest"))
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        El::root(node, "iq")?.child("digest", "the question").map(|_| Self)
    }

    fn parse_result(node: NodeRef<'_>, _profile: &Profile) -> Result<KeyDigest, StanzaError> {
        let iq = El::root(node, "iq")?;
        let digest = iq.child("digest", "the keys of the account")?;
        check_type(&digest)?;
        let list = digest.child("list", "ids of the one-time prekeys")?;
        Ok(KeyDigest {
            registration: read_registration(&digest)?,
            identity: digest.child_array("identity", KEY_32)?,
            signed_prekey: read_signed_prekey(&digest.child("skey", "a signed prekey")?)?,
            prekey_ids: list
                .children_named("id")
                .map(|id| Ok(be24(id.array(ID_3)?)))
                .collect::<Result<_, _>>()?,
            hash: digest.child_array("hash", "20 bytes")?,
        })
    }

    fn reply_node(&self, digest: &KeyDigest, id: &str, _profile: &Profile) -> Node {
        iq::result(id).child_with("digest", |node| {
            node.child(registration(digest.registration))
                .child(key_type())
                .child_with("identity", |identity| identity.bytes(&digest.identity))
                .child_with("skey", |skey| signed_prekey(skey, &digest.signed_prekey))
                .child_with("list", |list| {
                    list.children_with("id", &digest.prekey_ids, |node, id| node.bytes(&id_bytes(*id)))
                })
                .child_with("hash", |hash| hash.bytes(&digest.hash))
        })
    }
}

// Parts that the key stanzas and retry receipts share.

pub(crate) const KEY_32: &str = "32 bytes";
const ID_3: &str = "3 bytes";

pub(crate) fn registration(id: u32) -> Node {
    Node::new("registration").bytes(&id.to_be_bytes())
}

pub(crate) fn read_registration(parent: &El<'_, '_>) -> Result<u32, StanzaError> {
    parent.child_array("registration", "4 bytes").map(u32::from_be_bytes)
}

pub(crate) fn key_type() -> Node {
    Node::new("type").bytes(&[KEY_TYPE])
}

pub(crate) fn check_type(parent: &El<'_, '_>) -> Result<(), StanzaError> {
    const EXPECTED: &str = "the byte 05";
    let kind = parent.child("type", EXPECTED)?;
    if kind.array::<1>(EXPECTED)? == [KEY_TYPE] { Ok(()) } else { Err(kind.bad_content(EXPECTED)) }
}

/// The parts of `<key>`.
pub(crate) fn prekey<'n>(node: NodeMut<'n>, key: &PreKey) -> NodeMut<'n> {
    node.child_with("id", |id| id.bytes(&id_bytes(key.id)))
        .child_with("value", |value| value.bytes(&key.value))
}

pub(crate) fn read_prekey(key: &El<'_, '_>) -> Result<PreKey, StanzaError> {
    Ok(PreKey { id: be24(key.child_array("id", ID_3)?), value: key.child_array("value", KEY_32)? })
}

/// The parts of `<skey>`.
pub(crate) fn signed_prekey<'n>(node: NodeMut<'n>, key: &SignedPreKey) -> NodeMut<'n> {
    node.child_with("id", |id| id.bytes(&id_bytes(key.id)))
        .child_with("value", |value| value.bytes(&key.value))
        .child_with("signature", |signature| signature.bytes(&key.signature))
}

pub(crate) fn read_signed_prekey(skey: &El<'_, '_>) -> Result<SignedPreKey, StanzaError> {
    Ok(SignedPreKey {
        id: be24(skey.child_array("id", ID_3)?),
        value: skey.child_array("value", KEY_32)?,
        signature: skey.child_array("signature", "64 bytes")?,
    })
}

fn id_bytes(id: u32) -> [u8; 3] {
    let [_, a, b, c] = id.to_be_bytes();
    [a, b, c]
}

fn be24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}
