//! Typed stanzas over wire nodes, requests paired with their replies, and the Profile of assumptions
