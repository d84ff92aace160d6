//! Profile files.

use landbridge_stanza::Profile;

/// A profile that is accepted, from TOML or JSON, is written in both and read again as the same, as far as TOML has words.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for profile in
        [toml::from_str::<Profile>(text).ok(), serde_json::from_str(text).ok()].into_iter().flatten()
    {
        let json = serde_json::to_string(&profile).expect("a profile has a JSON form");
        assert_eq!(serde_json::from_str::<Profile>(&json).expect("the own JSON reads"), profile);
        let toml = toml::to_string(&profile).expect("a profile has a TOML form");
        let again = toml::from_str::<Profile>(&toml).expect("the own TOML reads");
        assert!(again == profile, "through {toml}");
        let _ = (profile.wire.encode_options(), profile.wire.limits());
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let whole = Profile::default();
    let mut seeds = vec![
        serde_json::to_vec(&whole).expect("a profile has a JSON form"),
        b"[wire]\npack = 'jid'\ncompress_above = 512\n[deletion]\niq_type = 'set'\n".to_vec(),
        b"[connection]\nheader = '57410503'\n".to_vec(),
        br#"{"iq":{"unknown_request_code":null},"wire":{"pack":"jid"}}"#.to_vec(),
    ];
    seeds.extend(toml::to_string(&whole).map(String::into_bytes));
    seeds
}
