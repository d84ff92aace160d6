//! Interoperable messaging with WhatsApp under the Digital Markets Act: the client SDK
