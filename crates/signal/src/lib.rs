//! The Signal protocol, message version 3: X3DH, Double Ratchet, session records, store traits
