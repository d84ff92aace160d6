//! Profile files.

use landbridge_stanza::iq::IqType;
use landbridge_stanza::profile::{PackPolicy, Profile};

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(toml::from_str::<Profile>("").unwrap(), Profile::default());
}

#[test]
fn a_file_names_only_what_differs() {
    let profile: Profile = toml::from_str(
        "[wire]\npack = 'jid'\ncompress_above = 512\n[deletion]\niq_type = 'set'\n[connection]\nheader = '57410503'\n",
    )
    .unwrap();
    assert_eq!(profile.wire.pack, PackPolicy::Jid);
    assert_eq!(profile.wire.encode_options().compress_above, Some(512));
    assert_eq!(profile.deletion.iq_type, IqType::Set);
    assert_eq!(profile.connection.header, [0x57, 0x41, 0x05, 0x03]);
    assert_eq!(profile.keys, Profile::default().keys);
}

#[test]
fn unknown_names_are_refused() {
    let error = toml::from_str::<Profile>("[wire]\npacking = 'jid'\n").unwrap_err();
    assert!(error.to_string().contains("packing"), "{error}");
    assert!(toml::from_str::<Profile>("[wires]\n").is_err());
}

#[test]
fn wrong_hex_is_refused() {
    for header in ["5741060", "574106zz", "+7410603", "57410603ff", "ßß4106"] {
        let error = toml::from_str::<Profile>(&format!("[connection]\nheader = '{header}'\n")).unwrap_err();
        assert!(error.to_string().contains("4 bytes as 8 hex digits"), "{header}: {error}");
    }
}

#[test]
fn a_profile_survives_its_text() {
    let mut profile = Profile::default();
    profile.keys.first_batch = 30;
    profile.mailbox.batch = None;
    let text = serde_json::to_string(&profile).unwrap();
    assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile);
    assert!(text.contains("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b"));
}
