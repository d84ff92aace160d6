//! The little of protobuf that the messages need, reading from and writing into borrowed bytes.
//!
//! The generated types would copy each field; here a message is read in place, which the MAC needs anyway. A property
//! test holds this reader and writer against the generated ones.

use crate::MalformedMessage;

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// 4 or 8 fixed bytes: no message here has such a field, so the value is of no interest.
    Fixed,
}

/// The fields of a message, in wire order.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next field's number and value; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, MalformedMessage> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let start = self.at;
        let broken = MalformedMessage::Protobuf { offset: start };
        let tag = u32::try_from(self.varint()?).map_err(|_| broken)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| broken)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups (3, 4) are long obsolete and no implementation writes them.
            _ => return Err(broken),
        };
        match tag >> 3 {
            0 => Err(broken),
            number => Ok(Some((number, value))),
        }
    }

    /// The error for the field that was read last.
    pub(crate) const fn broken(&self) -> MalformedMessage {
        MalformedMessage::Protobuf { offset: self.at }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MalformedMessage> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.get(..length) {
            Some(part) => {
                self.at += length;
                Ok(part)
            }
            None => Err(self.broken()),
        }
    }

    fn varint(&mut self) -> Result<u64, MalformedMessage> {
        let broken = self.broken();
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(broken)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return Err(broken);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(broken)
    }
}

impl<'a> Value<'a> {
    /// The value of a `uint32` field; larger ones lose their upper bits, as protobuf demands.
    pub(crate) fn uint32(self, fields: &Fields<'_>) -> Result<u32, MalformedMessage> {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "protobuf: a uint32 keeps the lower 32 bits")]
            Self::Varint(value) => Ok(value as u32),
            Self::Bytes(_) | Self::Fixed => Err(fields.broken()),
        }
    }

    /// The value of a `bytes` field.
    pub(crate) fn bytes(self, fields: &Fields<'_>) -> Result<&'a [u8], MalformedMessage> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed => Err(fields.broken()),
        }
    }
}

/// Bytes of a varint.
pub(crate) const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Writes a `uint32` field, also when it is 0. Field numbers are below 16.
pub(crate) fn put_uint32(out: &mut Vec<u8>, number: u8, value: u32) {
    out.push(number << 3);
    put_varint(out, u64::from(value));
}

/// Writes the head of a `bytes` field; the `length` bytes follow. Field numbers are below 16.
pub(crate) fn put_bytes_head(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push(number << 3 | 2);
    put_varint(out, length as u64);
}

/// Writes a `bytes` field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    put_bytes_head(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// Bytes of a `uint32` field.
pub(crate) const fn uint32_len(value: u32) -> usize {
    1 + varint_len(value as u64)
}

/// Bytes of a `bytes` field.
pub(crate) const fn bytes_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}
