//! Messages, on their way to the server and from it (PEERS).

use landbridge_wire::{Jid, Node, NodeMut, NodeRef};

use crate::error::StanzaError;
use crate::ids::MessageId;
use crate::macros::{numbers, words};
use crate::profile::Profile;
use crate::read::El;

words! {
    /// What a message is, for the server. Receivers go by the protobuf inside.
    MessageType {
        /// Text, and control messages.
        Text = "text",
        /// Media, contacts, places, links with a preview.
        Media = "media",
        /// A reaction.
        Reaction = "reaction",
        /// A poll.
        Poll = "poll",
    }
}

words! {
    /// What an [`Enc`] holds.
    EncType {
        /// The first messages of a session.
        PreKey = "pkmsg",
        /// A message of a session.
        Message = "msg",
        /// A message under a sender key, in groups.
        SenderKey = "skmsg",
    }
}

numbers! {
    /// `edit` of a message.
    Edit {
        /// The content replaces that of another message.
        MessageEdit = 1,
        /// The sender takes a message, or a reaction, back.
        Revoke = 7,
        /// An admin takes a message back.
        AdminRevoke = 8,
    }
}

/// Whether a message that does not decrypt gets a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecryptFail {
    /// It does.
    #[default]
    Show,
    /// It does not (`decrypt-fail=hide`).
    Hide,
}

/// One encrypted copy of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Enc {
    /// Version of the content, 2.
    pub version: u32,
    /// What it is.
    pub kind: EncType,
    /// Kind of media inside.
    pub mediatype: Option<String>,
    /// Whether a failure is shown.
    pub decrypt_fail: DecryptFail,
    /// Which answer to a retry receipt this is, if it is one.
    pub count: Option<u8>,
    /// The Signal message.
    pub ciphertext: Vec<u8>,
}

impl std::fmt::Debug for Enc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, kind, mediatype, decrypt_fail, count, ciphertext } = self;
        f.debug_struct("Enc")
            .field("version", version)
            .field("kind", kind)
            .field("mediatype", mediatype)
            .field("decrypt_fail", decrypt_fail)
            .field("count", count)
            .field("ciphertext", &format_args!("[{} bytes]", ciphertext.len()))
            .finish()
    }
}

impl Enc {
    /// The version of the content that interop uses.
    pub const VERSION: u32 = 2;

    /// A copy of version 2 without further marks.
    pub fn new(kind: EncType, ciphertext: Vec<u8>) -> Self {
        Self {
            version: Self::VERSION,
            kind,
            mediatype: None,
            decrypt_fail: DecryptFail::Show,
            count: None,
            ciphertext,
        }
    }

    /// Writes the parts of `<enc>`.
    fn write<'n>(node: NodeMut<'n>, enc: &Self) -> NodeMut<'n> {
        node.attr("v", enc.version)
            .attr("type", enc.kind.as_str())
            .attr_opt("mediatype", enc.mediatype.as_deref())
            .attr_opt("decrypt-fail", (enc.decrypt_fail == DecryptFail::Hide).then_some("hide"))
            .attr_opt("count", enc.count.map(u32::from))
            .bytes(&enc.ciphertext)
    }

    fn read(enc: &El<'_, '_>) -> Result<Self, StanzaError> {
        Ok(Self {
            version: enc.num("v", "a decimal version")?,
            kind: EncType::from(enc.str("type", "pkmsg, msg or skmsg")?.as_str()),
            mediatype: enc.opt_str("mediatype"),
            decrypt_fail: match enc.opt_str("decrypt-fail").as_deref() {
                Some("hide") => DecryptFail::Hide,
                _ => DecryptFail::Show,
            },
            count: enc.opt_num("count", "a decimal number below 256")?,
            ciphertext: enc.some_bytes("a Signal message")?,
        })
    }

    fn read_all(parent: &El<'_, '_>) -> Result<Vec<Self>, StanzaError> {
        parent.children_named("enc").map(|enc| Self::read(&enc)).collect()
    }
}

/// The copies for one member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantEnc {
    /// The member.
    pub jid: Jid,
    /// The copies.
    pub encs: Vec<Enc>,
}

/// A message that a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageOut {
    /// The chat.
    pub to: Jid,
    /// Id, the same at every resend.
    pub id: MessageId,
    /// What it is.
    pub kind: MessageType,
    /// Whether it changes another message.
    pub edit: Option<Edit>,
    /// The copies; one in a chat of two.
    pub encs: Vec<Enc>,
    /// `t` of the retry receipt that this answers.
    pub t: Option<u64>,
    /// Author's address in an answer to a retry receipt of a group.
    pub participant: Option<Jid>,
    /// Hash over the members of a group.
    pub phash: Option<String>,
    /// Copies for single members of a group.
    pub participants: Vec<ParticipantEnc>,
}

impl MessageOut {
    /// A message of a chat of two.
    pub fn new(to: Jid, id: MessageId, kind: MessageType, enc: Enc) -> Self {
        Self {
            to,
            id,
            kind,
            edit: None,
            encs: vec![enc],
            t: None,
            participant: None,
            phash: None,
            participants: Vec::new(),
        }
    }

    /// The stanza. With a `t` it is an answer to a retry receipt and carries `device_fanout=false`.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        let participants = (!self.participants.is_empty()).then_some(&self.participants);
        Node::new("message")
            .attr("to", &self.to)
            .attr("id", self.id.as_str())
            .attr("type", self.kind.as_str())
            .attr_opt("edit", self.edit.map(Edit::number))
            .attr_opt("t", self.t)
            .attr_opt("device_fanout", self.t.map(|_| "false"))
            .attr_opt("participant", self.participant.as_ref())
            .attr_opt("phash", self.phash.as_deref())
            .children_with("participants", participants, |node, members| {
                node.children_with("to", members, |to, member| {
                    to.attr("jid", &member.jid).children_with("enc", &member.encs, Enc::write)
                })
            })
            .children_with("enc", &self.encs, Enc::write)
    }

    /// Reads a client's message.
    ///
    /// # Errors
    /// A [`StanzaError`] if an attribute is missing or the message holds no encrypted copy.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let message = El::root(node, "message")?;
        let encs = Enc::read_all(&message)?;
        let participants = match message.opt_child("participants") {
            Some(list) => list
                .children_named("to")
                .map(|member| Ok(ParticipantEnc { jid: member.jid("jid")?, encs: Enc::read_all(&member)? }))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        if encs.is_empty() && participants.is_empty() {
            return Err(message.missing_child("enc", "an encrypted copy"));
        }
        Ok(Self {
            to: message.jid("to")?,
            id: message.message_id("id")?,
            kind: MessageType::from(message.str("type", "text, media, reaction or poll")?.as_str()),
            edit: message.opt_num::<u16>("edit", "a decimal number")?.map(Edit::from),
            encs,
            t: message.opt_time("t")?,
            participant: message.opt_jid("participant")?,
            phash: message.opt_str("phash"),
            participants,
        })
    }
}

/// What a received message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageContent {
    /// Encrypted copies, in their order; pairwise ones stand before those under a sender key.
    Encrypted(Vec<Enc>),
    /// Nothing that this client could have: ack it, show a placeholder, ask for no retry.
    Unavailable {
        /// `type` of the element.
        kind: Option<String>,
    },
}

/// A message that a client receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageIn {
    /// The chat.
    pub from: Jid,
    /// Id, unique per chat and sender.
    pub id: MessageId,
    /// The server's time in unix seconds.
    pub t: u64,
    /// What it is.
    pub kind: MessageType,
    /// Name that the sender shows.
    pub notify: Option<String>,
    /// Position in the mailbox, if it comes from there.
    pub offline: Option<u32>,
    /// Author, in groups.
    pub participant: Option<Jid>,
    /// Recipient, if it is not the receiver (companions).
    pub recipient: Option<Jid>,
    /// Whether it changes another message.
    pub edit: Option<Edit>,
    /// The sender's hidden number.
    pub sender_lid: Option<Jid>,
    /// The sender's number.
    pub sender_pn: Option<Jid>,
    /// The content.
    pub content: MessageContent,
}

impl MessageIn {
    /// What the server makes of a client's message for its recipient: `from`, `t` and `notify` are its own.
    pub fn delivering(message: MessageOut, from: Jid, t: u64, notify: Option<String>) -> Self {
        Self {
            from,
            id: message.id,
            t,
            kind: message.kind,
            notify,
            offline: None,
            participant: message.participant,
            recipient: None,
            edit: message.edit,
            sender_lid: None,
            sender_pn: None,
            content: MessageContent::Encrypted(message.encs),
        }
    }

    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        let node = Node::new("message")
            .attr("from", &self.from)
            .attr("id", self.id.as_str())
            .attr("t", self.t)
            .attr("type", self.kind.as_str())
            .attr_opt("notify", self.notify.as_deref())
            .attr_opt("offline", self.offline)
            .attr_opt("participant", self.participant.as_ref())
            .attr_opt("recipient", self.recipient.as_ref())
            .attr_opt("edit", self.edit.map(Edit::number))
            .attr_opt("sender_lid", self.sender_lid.as_ref())
            .attr_opt("sender_pn", self.sender_pn.as_ref());
        match &self.content {
            MessageContent::Encrypted(encs) => node.children_with("enc", encs, Enc::write),
            MessageContent::Unavailable { kind } => {
                node.child(Node::new("unavailable").attr_opt("type", kind.as_deref()))
            }
        }
    }

    /// Reads the server's message.
    ///
    /// # Errors
    /// A [`StanzaError`] if an attribute is missing or there is neither an encrypted copy nor the mark that there is
    /// none.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let message = El::root(node, "message")?;
        let encs = Enc::read_all(&message)?;
        let content = match message.opt_child("unavailable") {
            Some(unavailable) if encs.is_empty() => {
                MessageContent::Unavailable { kind: unavailable.opt_str("type") }
            }
            None if encs.is_empty() => return Err(message.missing_child("enc", "an encrypted copy")),
            _ => MessageContent::Encrypted(encs),
        };
        Ok(Self {
            from: message.jid("from")?,
            id: message.message_id("id")?,
            t: message.time("t")?,
            kind: MessageType::from(message.str("type", "text, media, reaction or poll")?.as_str()),
            notify: message.opt_str("notify"),
            offline: message.opt_num("offline", "a decimal number")?,
            participant: message.opt_jid("participant")?,
            recipient: message.opt_jid("recipient")?,
            edit: message.opt_num::<u16>("edit", "a decimal number")?.map(Edit::from),
            sender_lid: message.opt_jid("sender_lid")?,
            sender_pn: message.opt_jid("sender_pn")?,
            content,
        })
    }
}
