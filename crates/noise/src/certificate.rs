//! The certificate chain of a server, and its check against a pinned root.

use landbridge_curve::{PublicKey, SIGNATURE_LEN};
use landbridge_proto::handshake::{CertChain, NoiseCertificate, noise_certificate::Details};
use prost::Message as _;
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{KnownServer, ServerTrust, Validity, VerifiedServer};

/// The root key that open-source clients of WhatsApp pin,
/// `142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b`. PEERS. That interop servers use it is ASSUMED.
pub const WHATSAPP_ROOT: PublicKey = PublicKey::from_bytes([
    0x14, 0x23, 0x75, 0x57, 0x4d, 0x0a, 0x58, 0x71, 0x66, 0xaa, 0xe7, 0x1e, 0xbe, 0x51, 0x64, 0x37, 0xc4,
    0xa2, 0x8b, 0x73, 0xe3, 0x69, 0x5c, 0x6c, 0xe1, 0xf7, 0xf9, 0x54, 0x5d, 0xa8, 0xee, 0x6b,
]);

/// Serial number of the root, which is not transmitted. PEERS.
pub(crate) const ROOT_SERIAL: u32 = 0;

/// Believes servers whose chain root → intermediate → leaf ends in a given root key. PEERS.
///
/// The checks run in a fixed order and the first that fails is the error: parts and lengths, the intermediate's
/// signature and issuer, the leaf's signature and issuer, dates (intermediate, then leaf), and last the leaf's key
/// against the one that the handshake authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedRoot {
    root: PublicKey,
}

impl PinnedRoot {
    /// Believes chains under `root`.
    pub const fn new(root: PublicKey) -> Self {
        Self { root }
    }

    /// Believes chains under [`WHATSAPP_ROOT`].
    pub const fn whatsapp() -> Self {
        Self::new(WHATSAPP_ROOT)
    }

    /// The root key.
    pub const fn root(&self) -> &PublicKey {
        &self.root
    }
}

impl ServerTrust for PinnedRoot {
    fn verify(
        &self,
        chain: &[u8],
        server_static: &PublicKey,
        now: u64,
    ) -> Result<VerifiedServer, CertificateError> {
        let chain = CertChain::decode(chain)
            .map_err(|source| CertificateError::Malformed { part: CertificatePart::Chain, source })?;
        let leaf = signed_parts(chain.leaf, Certificate::Leaf)?;
        let intermediate = signed_parts(chain.intermediate, Certificate::Intermediate)?;
        leaf.check_length(Certificate::Leaf)?;
        intermediate.check_length(Certificate::Intermediate)?;

        self.root
            .verify(&[&intermediate.details], &intermediate.signature)
            .map_err(|_| CertificateError::BadIntermediateSignature)?;
        let intermediate = Checked::read(&intermediate.details, Certificate::Intermediate)?;
        if intermediate.issuer != ROOT_SERIAL {
            return Err(CertificateError::WrongIntermediateIssuer {
                expected: ROOT_SERIAL,
                got: intermediate.issuer,
            });
        }
        intermediate
            .key
            .verify(&[&leaf.details], &leaf.signature)
            .map_err(|_| CertificateError::BadLeafSignature)?;
        let leaf = Checked::read(&leaf.details, Certificate::Leaf)?;
        if leaf.issuer != intermediate.serial {
            return Err(CertificateError::WrongLeafIssuer {
                expected: intermediate.serial,
                got: leaf.issuer,
            });
        }
        check_dates(Certificate::Intermediate, intermediate.validity, now)?;
        check_dates(Certificate::Leaf, leaf.validity, now)?;
        if !bool::from(leaf.key.as_bytes().ct_eq(server_static.as_bytes())) {
            return Err(CertificateError::LeafKeyMismatch);
        }
        Ok(VerifiedServer::new(KnownServer {
            key: leaf.key,
            leaf: leaf.validity,
            intermediate_key: intermediate.key,
            intermediate: intermediate.validity,
        }))
    }
}

/// A certificate with both of its parts, the details as the bytes that were signed.
struct SignedParts {
    details: Vec<u8>,
    signature: Vec<u8>,
}

impl SignedParts {
    fn check_length(&self, which: Certificate) -> Result<(), CertificateError> {
        let got = self.signature.len();
        if got == SIGNATURE_LEN {
            return Ok(());
        }
        Err(CertificateError::BadLength {
            part: CertificatePart::Signature(which),
            expected: SIGNATURE_LEN,
            got,
        })
    }
}

fn signed_parts(
    certificate: Option<NoiseCertificate>,
    which: Certificate,
) -> Result<SignedParts, CertificateError> {
    let missing = |part| CertificateError::MissingPart { part };
    let certificate = certificate.ok_or_else(|| missing(CertificatePart::Whole(which)))?;
    Ok(SignedParts {
        details: certificate.details.ok_or_else(|| missing(CertificatePart::Details(which)))?,
        signature: certificate.signature.ok_or_else(|| missing(CertificatePart::Signature(which)))?,
    })
}

/// Details whose key is one. Absent numbers are 0; 0 is a date like any other, not "no limit".
struct Checked {
    serial: u32,
    issuer: u32,
    key: PublicKey,
    validity: Validity,
}

impl Checked {
    fn read(details: &[u8], which: Certificate) -> Result<Self, CertificateError> {
        let details = Details::decode(details).map_err(|source| CertificateError::Malformed {
            part: CertificatePart::Details(which),
            source,
        })?;
        let part = CertificatePart::Key(which);
        let key = details.key.as_deref().ok_or(CertificateError::MissingPart { part })?;
        Ok(Self {
            serial: details.serial(),
            issuer: details.issuer_serial(),
            key: PublicKey::from_slice(key).map_err(|_| CertificateError::BadLength {
                part,
                expected: 32,
                got: key.len(),
            })?,
            validity: Validity::new(details.not_before(), details.not_after()),
        })
    }
}

fn check_dates(certificate: Certificate, validity: Validity, now: u64) -> Result<(), CertificateError> {
    let Validity { not_before, not_after } = validity;
    if now < not_before {
        return Err(CertificateError::NotYetValid { certificate, not_before, now });
    }
    if now > not_after {
        return Err(CertificateError::Expired { certificate, not_after, now });
    }
    Ok(())
}

/// One of the two certificates that travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certificate {
    /// Names the server's key.
    Leaf,
    /// Signed the leaf, signed by the root.
    Intermediate,
}

impl std::fmt::Display for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Leaf => "leaf",
            Self::Intermediate => "intermediate",
        })
    }
}

/// A place in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificatePart {
    /// The chain itself.
    Chain,
    /// A certificate as a whole.
    Whole(Certificate),
    /// The bytes that are signed.
    Details(Certificate),
    /// The signature, 64 bytes.
    Signature(Certificate),
    /// The key in the details, 32 bytes.
    Key(Certificate),
}

impl std::fmt::Display for CertificatePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chain => f.write_str("certificate chain"),
            Self::Whole(which) => write!(f, "{which} certificate"),
            Self::Details(which) => write!(f, "details of the {which} certificate"),
            Self::Signature(which) => write!(f, "signature of the {which} certificate"),
            Self::Key(which) => write!(f, "key of the {which} certificate"),
        }
    }
}

/// Why a server is not believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No protobuf.
    #[error("{part} does not parse")]
    Malformed {
        /// What does not.
        part: CertificatePart,
        /// Why.
        source: prost::DecodeError,
    },
    /// Something is not there.
    #[error("{part} is missing")]
    MissingPart {
        /// What is not.
        part: CertificatePart,
    },
    /// A key or a signature of another length.
    #[error("{part} has {got} bytes, expected {expected}")]
    BadLength {
        /// What has.
        part: CertificatePart,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// The root did not sign this.
    #[error("the intermediate certificate is not signed by the pinned root")]
    BadIntermediateSignature,
    /// Signed by the root, but naming another issuer.
    #[error("the intermediate certificate names issuer {got}, the root is {expected}")]
    WrongIntermediateIssuer {
        /// The root's serial, 0.
        expected: u32,
        /// The issuer named.
        got: u32,
    },
    /// The intermediate did not sign this.
    #[error("the leaf certificate is not signed by the intermediate")]
    BadLeafSignature,
    /// Signed by the intermediate, but naming another issuer.
    #[error("the leaf certificate names issuer {got}, the intermediate is {expected}")]
    WrongLeafIssuer {
        /// The intermediate's serial.
        expected: u32,
        /// The issuer named.
        got: u32,
    },
    /// The local clock is before the first second.
    #[error("the {certificate} certificate counts from {not_before}, the clock says {now}")]
    NotYetValid {
        /// Which.
        certificate: Certificate,
        /// Unix seconds.
        not_before: u64,
        /// Unix seconds.
        now: u64,
    },
    /// The local clock is after the last second.
    #[error("the {certificate} certificate counted until {not_after}, the clock says {now}")]
    Expired {
        /// Which.
        certificate: Certificate,
        /// Unix seconds.
        not_after: u64,
        /// Unix seconds.
        now: u64,
    },
    /// A good chain, for another server.
    #[error("the leaf certificate is for another key than the server's")]
    LeafKeyMismatch,
    /// A reason of another [`ServerTrust`] than [`PinnedRoot`].
    #[error("the server is not trusted")]
    Other {
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CertificateError {
    /// The verdict's name: one word for logs and statistics.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::MissingPart { .. } => "missing_part",
            Self::BadLength { .. } => "bad_length",
            Self::BadIntermediateSignature => "bad_intermediate_signature",
            Self::WrongIntermediateIssuer { .. } => "wrong_intermediate_issuer",
            Self::BadLeafSignature => "bad_leaf_signature",
            Self::WrongLeafIssuer { .. } => "wrong_leaf_issuer",
            Self::NotYetValid { certificate: Certificate::Leaf, .. } => "leaf_not_yet_valid",
            Self::NotYetValid { certificate: Certificate::Intermediate, .. } => "intermediate_not_yet_valid",
            Self::Expired { certificate: Certificate::Leaf, .. } => "leaf_expired",
            Self::Expired { certificate: Certificate::Intermediate, .. } => "intermediate_expired",
            Self::LeafKeyMismatch => "leaf_key_mismatch",
            Self::Other { .. } => "not_trusted",
        }
    }

    /// Whether only the dates speak against the server: with a clock that is plainly wrong, that is the thing to
    /// report.
    pub const fn is_about_time(&self) -> bool {
        matches!(self, Self::NotYetValid { .. } | Self::Expired { .. })
    }
}
