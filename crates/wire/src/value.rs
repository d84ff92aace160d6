//! What an attribute can be set to.

use std::borrow::Cow;

use crate::Jid;

/// The value of an attribute that is being set: a string, a number as decimal text, or a JID.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Value<'v> {
    /// A string.
    Text(Cow<'v, str>),
    /// A number, written as decimal text.
    Number(u64),
    /// A JID.
    Jid(Cow<'v, Jid>),
}

macro_rules! value_from {
    ($($source:ty => $make:expr;)*) => {$(
        impl<'v> From<$source> for Value<'v> {
            #[inline]
            fn from(source: $source) -> Self {
                $make(source)
            }
        }
    )*};
}

value_from! {
    &'v str => |text| Self::Text(Cow::Borrowed(text));
    &'v String => |text: &'v String| Self::Text(Cow::Borrowed(text));
    String => |text| Self::Text(Cow::Owned(text));
    Cow<'v, str> => Self::Text;
    &'v Jid => |jid| Self::Jid(Cow::Borrowed(jid));
    Jid => |jid| Self::Jid(Cow::Owned(jid));
    Cow<'v, Jid> => Self::Jid;
    u8 => |number| Self::Number(u64::from(number));
    u16 => |number| Self::Number(u64::from(number));
    u32 => |number| Self::Number(u64::from(number));
    u64 => Self::Number;
    usize => |number| Self::Number(number as u64);
    i32 => |number| signed(i64::from(number));
    i64 => signed;
}

impl Value<'_> {
    /// At least as many bytes as the value takes.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 5,
            Self::Number(_) => 20,
            Self::Jid(jid) => jid.user_part().len() + jid.server_part().len() + 20,
        }
    }
}

fn signed(number: i64) -> Value<'static> {
    match u64::try_from(number) {
        Ok(number) => Value::Number(number),
        Err(_) => Value::Text(Cow::Owned(number.to_string())),
    }
}

/// Calls `write` with the decimal digits of a number.
#[inline]
pub(crate) fn with_digits(mut number: u64, write: impl FnOnce(&str)) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(start..).unwrap_or_default();
    write(std::str::from_utf8(digits).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 401, 1_763_870_400, u64::MAX] {
            with_digits(number, |digits| assert_eq!(digits, number.to_string()));
        }
        assert!(matches!(Value::from(-5i32), Value::Text(text) if text == "-5"));
    }
}
