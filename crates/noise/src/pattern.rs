//! The handshake patterns.

/// How a connection is agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Neither side knows the other: three messages.
    Xx,
    /// The client knows the server's key: two messages.
    Ik,
    /// The client knew an old key of the server: IK begun, XX done.
    XxFallback,
}

impl Pattern {
    /// The name as it enters the hash.
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::Xx => "Noise_XX_25519_AESGCM_SHA256",
            Self::Ik => "Noise_IK_25519_AESGCM_SHA256",
            Self::XxFallback => "Noise_XXfallback_25519_AESGCM_SHA256",
        }
    }
}
