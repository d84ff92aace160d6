//! What holds for any bytes.

use landbridge_proto::{
    ParseLimits,
    content::{Context, Limits, Verdict, decode, outer, text},
    handshake::ClientPayload,
    login::{InteropLogin, LoginClaims, check_login},
    message::Message,
    padding::{PadLen, pad_with, unpad},
    parse,
};
use proptest::prelude::*;
use prost::Message as _;

/// Bytes that look like fields: tags of known numbers, lengths, nesting.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let scalar = (0_u32..70, prop_oneof![0_u8..8, Just(2_u8)], prop::collection::vec(any::<u8>(), 0..12))
        .prop_map(|(number, wire_type, mut value)| {
            let mut out = Vec::new();
            prost::encoding::encode_varint(u64::from(number << 3) | u64::from(wire_type), &mut out);
            if wire_type == 2 {
                prost::encoding::encode_varint(value.len() as u64, &mut out);
            }
            out.append(&mut value);
            out
        });
    scalar.prop_recursive(6, 64, 4, |inner| {
        (0_u32..70, prop::collection::vec(inner, 0..4)).prop_map(|(number, parts)| {
            let mut out = Vec::new();
            let parts = parts.concat();
            prost::encoding::encode_varint(u64::from(number << 3) | 2, &mut out);
            prost::encoding::encode_varint(parts.len() as u64, &mut out);
            out.extend(parts);
            out
        })
    })
}

fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let limits = ParseLimits::default();
    let ours = parse::<Message>(bytes, &limits);
    prop_assert_eq!(ours.is_ok(), Message::decode(bytes).is_ok(), "{:?}", ours);
    prop_assert_eq!(parse::<ClientPayload>(bytes, &limits).is_ok(), ClientPayload::decode(bytes).is_ok());
    let _ = check_login(bytes);
    if let Ok(message) = ours {
        let _ = outer(&message);
        for context in [
            Context::direct("1@s.whatsapp.net", "2@interop"),
            Context::group("1@g.us", "2@interop", landbridge_proto::content::Encryption::Pairwise),
        ] {
            let content = decode(bytes, &context, &Limits::default())
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(content.raw(), bytes);
            let worst = content.findings().iter().map(|found| found.verdict).max().unwrap_or(Verdict::Accept);
            prop_assert!(content.verdict() >= worst);
            let _ = (
                content.text(),
                content.shown_text(),
                content.media(),
                content.context_info(),
                content.target(),
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        agree(&bytes)?;
    }

    #[test]
    fn random_fields(parts in prop::collection::vec(fields(), 0..5)) {
        agree(&parts.concat())?;
    }

    #[test]
    fn texts_come_back(sent in "\\PC{1,40}") {
        let bytes = text(sent.as_str()).encode_to_vec();
        let received = decode(&bytes, &Context::direct("1@s.whatsapp.net", "2@interop"), &Limits::default()).unwrap();
        prop_assert_eq!(received.text(), Some(sent.as_str()));
        prop_assert!(received.findings().is_empty());
    }

    #[test]
    fn padding_comes_off(message in prop::collection::vec(any::<u8>(), 0..64), length in 1_u8..=16) {
        let mut padded = message.clone();
        pad_with(&mut padded, PadLen::new(length).unwrap());
        prop_assert_eq!(unpad(&padded), Ok(message.as_slice()));
    }

    #[test]
    fn unpadding_never_fails_to_answer(bytes in prop::collection::vec(0_u8..6, 0..12)) {
        if let Ok(plain) = unpad(&bytes) {
            let mut again = plain.to_vec();
            again.resize(bytes.len(), *bytes.last().unwrap());
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn logins_come_back(account in 1_u64.., token in prop::collection::vec(any::<u8>(), 1..=4096), version in any::<u32>()) {
        let mut login = InteropLogin::new(account, token.clone());
        login.version = version;
        let LoginClaims::Interop(claims) = check_login(&login.encode()).unwrap() else { panic!("a phone") };
        prop_assert_eq!((claims.account_id, claims.version), (account, Some(version)));
        prop_assert_eq!(claims.token.as_bytes(), token.as_slice());
    }
}
