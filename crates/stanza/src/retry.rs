//! The content of a retry receipt: a message did not decrypt, please encrypt it anew (PEERS).

use landbridge_wire::Node;

use crate::codes::RetryReason;
use crate::error::StanzaError;
use crate::ids::MessageId;
use crate::keys::{self, PreKey, SignedPreKey};
use crate::read::El;

/// The request inside a receipt of type `retry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Id of the message, the same as the receipt's.
    pub id: MessageId,
    /// `t` of the message, unix seconds.
    pub t: u64,
    /// 1 for the first request of this message, then 2, …
    pub count: u8,
    /// Why it did not decrypt.
    pub error: Option<RetryReason>,
    /// Registration id of who asks, 4 bytes.
    pub registration: u32,
    /// Keys for a new session.
    pub keys: Option<RetryKeys>,
}

/// Keys for a new session with who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryKeys {
    /// Identity key, 32 bytes.
    pub identity: [u8; 32],
    /// A fresh one-time prekey.
    pub prekey: Option<PreKey>,
    /// Signed prekey.
    pub signed_prekey: SignedPreKey,
    /// Certificate of a companion device; not for interop.
    pub device_identity: Option<Vec<u8>>,
}

impl Retry {
    /// The children of the receipt.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let retry = Node::new("retry")
            .attr("v", "1")
            .attr("id", self.id.as_str())
            .attr("t", self.t)
            .attr("count", u32::from(self.count))
            .attr_opt("error", self.error.map(RetryReason::number));
        let mut nodes = vec![retry, keys::registration(self.registration)];
        nodes.extend(self.keys.as_ref().map(RetryKeys::node));
        nodes
    }

    pub(crate) fn read(receipt: &El<'_, '_>) -> Result<Self, StanzaError> {
        let retry = receipt.child("retry", "which message and how often")?;
        Ok(Self {
            id: retry.message_id("id")?,
            t: retry.time("t")?,
            count: retry.num("count", "a decimal number below 256")?,
            error: retry.opt_num::<u16>("error", "a decimal code")?.map(RetryReason::from),
            registration: keys::read_registration(receipt)?,
            keys: receipt.opt_child("keys").map(|keys| RetryKeys::read(&keys)).transpose()?,
        })
    }
}

impl RetryKeys {
    fn node(&self) -> Node {
        Node::new("keys")
            .child(keys::key_type())
            .child_with("identity", |identity| identity.bytes(&self.identity))
            .children_with("key", &self.prekey, keys::prekey)
            .child_with("skey", |skey| keys::signed_prekey(skey, &self.signed_prekey))
            .children_with("device-identity", &self.device_identity, |node, id| node.bytes(id))
    }

    fn read(keys: &El<'_, '_>) -> Result<Self, StanzaError> {
        keys::check_type(keys)?;
        Ok(Self {
            identity: keys.child_array("identity", keys::KEY_32)?,
            prekey: keys.opt_child("key").map(|key| keys::read_prekey(&key)).transpose()?,
            signed_prekey: keys::read_signed_prekey(&keys.child("skey", "a signed prekey")?)?,
            device_identity: match keys.opt_child("device-identity") {
                Some(certificate) => Some(certificate.some_bytes("a certificate")?),
                None => None,
            },
        })
    }
}
