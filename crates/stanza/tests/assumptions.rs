//! `docs/assumptions.md` lists every field of the profile with its default.

use landbridge_stanza::Profile;
use serde_json::Value;

fn rows(path: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) if path.matches('.').count() == 0 => {
            for (name, value) in fields {
                rows(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, out);
            }
        }
        leaf => {
            // As the page prints lists: a space behind each comma.
            let text = leaf.to_string().replace("\",\"", "\", \"");
            let text = if leaf.is_array() { text.replace(',', ", ").replace(",  ", ", ") } else { text };
            out.push(format!("| `{path}` | `{text}` |"));
        }
    }
}

#[test]
fn every_field_is_listed_with_its_default() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/assumptions.md")).unwrap();
    let mut expected = Vec::new();
    rows("", &serde_json::to_value(Profile::default()).unwrap(), &mut expected);
    let missing: Vec<_> = expected.iter().filter(|row| !page.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "docs/assumptions.md lacks or contradicts: {missing:#?}");
    let listed = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(listed, expected.len(), "docs/assumptions.md lists fields that the profile does not have");
}
