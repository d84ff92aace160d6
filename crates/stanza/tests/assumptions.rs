//! `docs/assumptions.md` lists every field of the profile with its default, and each of them is read by something.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;

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

/// The sources of all crates, without comments; those of the profile apart.
fn sources(folder: &Path, profile: &mut String, others: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, profile, others);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let in_profile =
                path.components().any(|part| part.as_os_str() == "profile") || path.ends_with("profile.rs");
            let to = if in_profile { &mut *profile } else { &mut *others };
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                to.push_str(line.split("//").next().unwrap());
                to.push('\n');
            }
        }
    }
}

/// Whether `code` reads a field: its name behind a dot, and not as a method.
fn reads(code: &str, before: &str, field: &str) -> bool {
    let wanted = format!("{before}.{field}");
    code.match_indices(&wanted).any(|(at, found)| {
        let behind = code[at + found.len()..].chars().next();
        behind.is_some_and(|c| !c.is_alphanumeric() && c != '_' && c != '(')
    })
}

#[test]
fn no_field_is_read_by_nobody() {
    let (mut profile, mut others) = (String::new(), String::new());
    for crate_ in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap() {
        let src = crate_.unwrap().path().join("src");
        if src.is_dir() {
            sources(&src, &mut profile, &mut others);
        }
    }
    assert!(!reads(&others, "", "no_such_field_at_all"));
    let Value::Object(groups) = serde_json::to_value(Profile::default()).unwrap() else { unreachable!() };
    let mut unread = Vec::new();
    for (group, fields) in groups {
        for field in fields.as_object().unwrap().keys() {
            // What the profile turns into another crate's options is read there.
            if !reads(&others, "", field) && !reads(&profile, "self", field) {
                unread.push(format!("{group}.{field}"));
            }
        }
    }
    assert!(unread.is_empty(), "nothing reads {unread:?}: take them out until something does");
}
