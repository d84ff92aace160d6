//! As much of JSON Schema as the document uses. A keyword that is not known here fails the test.

use serde_json::Value;

/// Follows a reference within the document.
pub(super) fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            target.unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => value,
    }
}

/// Every reference leads somewhere.
pub(super) fn check_references(document: &Value, value: &Value) {
    match value {
        Value::Object(members) => {
            resolve(document, value);
            members.values().for_each(|member| check_references(document, member));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(document, item)),
        _ => {}
    }
}

/// A value keeps a schema.
pub(super) fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolve(document, schema).as_object().unwrap();
    for (keyword, expected) in schema {
        let number = || expected.as_i64().unwrap();
        let length = || i64::try_from(value.as_str().unwrap().chars().count()).unwrap();
        let good = match keyword.as_str() {
            "type" => types(expected).any(|kind| is(value, kind)),
            "enum" => expected.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|value| value >= number()),
            "maximum" => value.as_i64().is_none_or(|value| value <= number()),
            "minLength" => length() >= number(),
            "maxLength" => length() <= number(),
            "pattern" => fits(expected.as_str().unwrap(), value.as_str().unwrap()),
            "required" => {
                expected.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "items" => {
                let items = value.as_array().unwrap().iter().enumerate();
                items.for_each(|(n, item)| check(document, expected, item, &format!("{at}[{n}]")));
                true
            }
            "properties" => {
                for (name, member) in value.as_object().unwrap() {
                    match expected.get(name) {
                        Some(schema) => check(document, schema, member, &format!("{at}.{name}")),
                        None => {
                            assert!(schema.get("additionalProperties").is_none(), "{at}: {name} is not known")
                        }
                    }
                }
                true
            }
            "additionalProperties" => *expected == Value::Bool(false),
            "description" | "default" => true,
            other => panic!("the keyword {other} is not known to this test"),
        };
        assert!(good, "{at}: {value} does not keep {keyword} {expected}");
    }
}

fn types(expected: &Value) -> impl Iterator<Item = &str> {
    let one = expected.as_str().into_iter();
    one.chain(expected.as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known to this test"),
    }
}

/// The two patterns that the document has.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern {
        "^\\+?[1-9][0-9]{4,14}$" => {
            let digits = text.strip_prefix('+').unwrap_or(text);
            (5..=15).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit())
                && !digits.starts_with('0')
        }
        "^[0-9a-f]{64}$" => text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        other => panic!("the pattern {other} is not known to this test"),
    }
}
