//! The shipped place for bytes meets the contract of places for bytes.

landbridge_partner::blobs_conformance!(landbridge_partner::media::LocalBlobs::temporary().unwrap());
