//! What a message is.

use core::fmt;

macro_rules! kinds {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// What a receiver reports a message as.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind { $(#[doc = $doc] $variant,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name, such as `live_location`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    Text "text" "Text, plain or extended.",
    Image "image" "Image.",
    Video "video" "Video.",
    Gif "gif" "Silent video that plays in a loop.",
    Ptv "ptv" "Round video note.",
    Audio "audio" "Audio file.",
    Ptt "ptt" "Voice note.",
    Document "document" "Document.",
    Sticker "sticker" "Sticker.",
    Contact "contact" "One contact.",
    Contacts "contacts" "Several contacts.",
    Location "location" "Place.",
    LiveLocation "live_location" "Live location.",
    Reaction "reaction" "Reaction to a message.",
    ReactionRevoke "reaction_revoke" "A reaction taken back.",
    Revoke "revoke" "A message deleted for everyone.",
    Edit "edit" "A message edited.",
    EphemeralSetting "ephemeral_setting" "The chat's timer set or switched off.",
    SenderKey "sender_key" "A group's sender key, alone.",
    UnknownProtocol "unknown_protocol" "A protocol message that does not concern an interop user.",
    Unsupported "unsupported" "Anything else: shown as a placeholder.",
}

impl Kind {
    /// The expansion label of this kind's media key (PEERS).
    #[must_use]
    pub const fn media_key_label(self) -> Option<&'static str> {
        match self {
            Self::Image | Self::Sticker => Some("WhatsApp Image Keys"),
            Self::Video | Self::Gif | Self::Ptv => Some("WhatsApp Video Keys"),
            Self::Audio | Self::Ptt => Some("WhatsApp Audio Keys"),
            Self::Document => Some("WhatsApp Document Keys"),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
