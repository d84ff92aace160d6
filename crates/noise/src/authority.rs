//! A certificate authority for servers that play WhatsApp.

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_proto::handshake::{CertChain, NoiseCertificate, noise_certificate::Details};
use prost::Message as _;
use rand_core::CryptoRng;

use crate::{PinnedRoot, Validity, certificate::ROOT_SERIAL};

/// Serial number of the intermediate certificate; the root's is 0.
const INTERMEDIATE_SERIAL: u32 = 1;

/// Serial number of every leaf certificate.
const LEAF_SERIAL: u32 = 2;

/// A root (serial 0), an intermediate certificate under it (1), and as many leaves (2) as are asked for.
///
/// For sandboxes and tests: clients have to pin its root. It holds both private keys in memory, which are wiped
/// when it is dropped.
pub struct CertificateAuthority {
    root: PrivateKey,
    root_public: PublicKey,
    intermediate: PrivateKey,
    certificate: NoiseCertificate,
}

impl CertificateAuthority {
    /// Draws root and intermediate key from `rng`.
    pub fn generate<R: CryptoRng + ?Sized>(intermediate_validity: Validity, rng: &mut R) -> Self {
        let (root, intermediate) = (PrivateKey::generate(rng), PrivateKey::generate(rng));
        Self::from_keys(root, intermediate, intermediate_validity, rng)
    }

    /// Takes keys that were stored; the intermediate certificate is signed anew.
    pub fn from_keys<R: CryptoRng + ?Sized>(
        root: PrivateKey,
        intermediate: PrivateKey,
        intermediate_validity: Validity,
        rng: &mut R,
    ) -> Self {
        let details =
            details(INTERMEDIATE_SERIAL, ROOT_SERIAL, &intermediate.public(), intermediate_validity);
        let certificate = sign(&root, details, rng);
        Self { root_public: root.public(), root, intermediate, certificate }
    }

    /// The key for clients to pin.
    pub const fn root(&self) -> &PublicKey {
        &self.root_public
    }

    /// A trust that believes this authority and no other.
    pub const fn trust(&self) -> PinnedRoot {
        PinnedRoot::new(self.root_public)
    }

    /// The root's private key, for storage.
    pub const fn root_private(&self) -> &PrivateKey {
        &self.root
    }

    /// The intermediate's private key, for storage.
    pub const fn intermediate_private(&self) -> &PrivateKey {
        &self.intermediate
    }

    /// The chain of a server whose static key is `server`: the bytes of a serialised CertChain.
    pub fn issue<R: CryptoRng + ?Sized>(
        &self,
        server: &PublicKey,
        validity: Validity,
        rng: &mut R,
    ) -> Vec<u8> {
        let details = details(LEAF_SERIAL, INTERMEDIATE_SERIAL, server, validity);
        let leaf = sign(&self.intermediate, details, rng);
        CertChain { leaf: Some(leaf), intermediate: Some(self.certificate.clone()) }.encode_to_vec()
    }
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { root, root_public, intermediate, certificate: _ } = self;
        f.debug_struct("CertificateAuthority")
            .field("root", root)
            .field("root_public", root_public)
            .field("intermediate", intermediate)
            .finish_non_exhaustive()
    }
}

fn details(serial: u32, issuer_serial: u32, key: &PublicKey, validity: Validity) -> Vec<u8> {
    Details {
        serial: Some(serial),
        issuer_serial: Some(issuer_serial),
        key: Some(key.as_bytes().to_vec()),
        not_before: Some(validity.not_before),
        not_after: Some(validity.not_after),
    }
    .encode_to_vec()
}

fn sign<R: CryptoRng + ?Sized>(issuer: &PrivateKey, details: Vec<u8>, rng: &mut R) -> NoiseCertificate {
    let signature = issuer.sign(&[&details], rng).to_vec();
    NoiseCertificate { details: Some(details), signature: Some(signature) }
}
