//! `application/x-www-form-urlencoded`, read strictly.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Field;
use crate::ids::IntegratorId;
use crate::reply::{Reason, Refusal};

/// Longest body of a request, in bytes (ASSUMED).
pub const MAX_BODY: usize = 16 * 1024;

/// The known fields of a decoded form.
pub(crate) struct Form<'a> {
    fields: BTreeMap<Field, Cow<'a, str>>,
}

impl<'a> Form<'a> {
    /// Decodes every pair and keeps the known ones, each at most once.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let mut fields = BTreeMap::new();
        for pair in pairs(body) {
            let (name, value) = pair;
            let name = decode(name).map_err(|fault| malformed(None, fault))?;
            let field = Field::ALL.into_iter().find(|field| field.name() == name);
            // Unknown fields are ignored, but what cannot be decoded is no form.
            let value = decode(value).map_err(|fault| malformed(field, fault))?;
            let Some(field) = field else { continue };
            if fields.insert(field, value).is_some() {
                return Err(malformed(Some(field), "the field occurs twice"));
            }
        }
        Ok(Self { fields })
    }

    /// The value of a field, if it was sent.
    pub(crate) fn get(&self, field: Field) -> Option<&str> {
        self.fields.get(&field).map(AsRef::as_ref)
    }

    /// The first required field, in table order, that is absent or empty.
    pub(crate) fn first_missing(&self) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.is_required() && self.get(*field).is_none_or(str::is_empty))
    }
}

fn malformed(field: Option<Field>, detail: &'static str) -> Refusal {
    let refusal = Refusal::new(Reason::BadParam).detail(detail);
    match field {
        Some(field) => refusal.param(field.name()),
        None => refusal,
    }
}

/// The integrator a body claims to come from, for rate limits before anything is checked.
///
/// `None` if the field is absent, unreadable or no integrator id. Not a check: a body that passes here may still be
/// refused for that very field.
pub fn claimed_integrator(body: &[u8]) -> Option<IntegratorId> {
    let (_, value) = pairs(body).find(|(name, _)| *name == Field::Integrator.name().as_bytes())?;
    decode(value).ok()?.parse().ok()
}

/// Splits at `&` and the first `=`; empty pairs count for nothing (WHATWG URL, section 5.1).
fn pairs(body: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    })
}

/// Undoes `+` and percent escapes.
fn decode(text: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    const UTF8: &str = "the form is not UTF-8";
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| UTF8);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (rest.next().and_then(hex), rest.next().and_then(hex)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err("a percent escape without two hex digits"),
            },
            other => other,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| UTF8)
}

fn hex(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Appends `name=value`, escaped as `curl --data-urlencode` escapes: all but the unreserved characters of RFC 3986.
pub(crate) fn append(body: &mut String, name: &str, value: &str) {
    if !body.is_empty() {
        body.push('&');
    }
    escape(body, name);
    body.push('=');
    escape(body, value);
}

fn escape(body: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            body.push(char::from(byte));
        } else {
            const HEX: [char; 16] =
                ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
            body.push('%');
            body.extend([byte >> 4, byte & 15].iter().filter_map(|nibble| HEX.get(usize::from(*nibble))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_as_browsers_and_curl_encode() {
        let form = Form::parse(b"&user_identifier=%C3%A4+b%2B&x=%20&authkey&&token=a=b&").unwrap();
        assert_eq!(form.get(Field::Identifier), Some("ä b+"));
        assert_eq!(form.get(Field::AuthKey), Some(""));
        assert_eq!(form.get(Field::Token), Some("a=b"));
        assert_eq!(form.get(Field::KeyType), None);
        assert_eq!(form.first_missing(), Some(Field::AuthKey));
        // Names are escaped too.
        assert_eq!(Form::parse(b"%74oken=x").unwrap().get(Field::Token), Some("x"));
    }

    #[test]
    fn refuses_what_is_no_form() {
        for (body, param) in [
            (&b"token=%"[..], Some("token")),
            (b"token=%4", Some("token")),
            (b"token=%4g", Some("token")),
            (b"token=%+1", Some("token")),
            (b"token=%ff", Some("token")),
            (b"token=\xff", Some("token")),
            (b"x=%ff", None),
            (b"%ff=x", None),
            (b"token=a&token=a", Some("token")),
            (b"token=a&%74oken=a", Some("token")),
        ] {
            let refusal = Form::parse(body).err().unwrap();
            assert_eq!(refusal.reason, Reason::BadParam, "{body:?}");
            assert_eq!(refusal.param.as_deref(), param, "{body:?}");
        }
        assert!(Form::parse(b"x=1&x=2").is_ok(), "unknown fields may repeat");
    }

    #[test]
    fn claims() {
        assert_eq!(claimed_integrator(b"a=b&integrator_id=12&c"), IntegratorId::new(12));
        for none in [&b""[..], b"integrator_id=0", b"integrator_id", b"integrator_id=%ff"] {
            assert_eq!(claimed_integrator(none), None);
        }
    }
}
