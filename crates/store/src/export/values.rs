//! What is inside the seals: a schema number, then tables with their rows.

use std::io::BufRead;

use zeroize::Zeroizing;

use super::{ExportError, Opener, Sealer};

/// Bytes of a table's or a column's name.
const MAX_NAME: usize = 64;
/// Bytes of one value.
const MAX_VALUE: u32 = 64 * 1024 * 1024;
/// A value is read in pieces of this size, so that a length that lies reserves no memory.
const PIECE: usize = 65_536;

const END: u8 = 0;
const TABLE: u8 = 1;
const ROW: u8 = 2;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BLOB: u8 = 3;

/// A value of a row.
pub(crate) enum Field {
    Null,
    Integer(i64),
    Text(Zeroizing<String>),
    Blob(Zeroizing<Vec<u8>>),
}

/// What comes next in an export.
pub(crate) enum Item {
    /// A table by name, with its columns.
    Table { name: String, columns: Vec<String> },
    /// A row of the table before it follows: as many values as that has columns.
    Row,
    /// Nothing more.
    End,
}

pub(crate) struct Writer<'a>(Sealer<'a>);

impl<'a> Writer<'a> {
    pub(crate) fn begin(mut sealer: Sealer<'a>, schema: u32) -> Result<Self, ExportError> {
        sealer.put(&schema.to_be_bytes())?;
        Ok(Self(sealer))
    }

    pub(crate) fn table(&mut self, name: &str, columns: &[String]) -> Result<(), ExportError> {
        let count = u8::try_from(columns.len()).map_err(|_| ExportError::TooLarge)?;
        self.0.put(&[TABLE])?;
        self.name(name)?;
        self.0.put(&[count])?;
        columns.iter().try_for_each(|column| self.name(column))
    }

    fn name(&mut self, name: &str) -> Result<(), ExportError> {
        let length = u8::try_from(name.len()).map_err(|_| ExportError::TooLarge)?;
        self.0.put(&[length])?;
        self.0.put(name.as_bytes())
    }

    pub(crate) fn row(&mut self) -> Result<(), ExportError> {
        self.0.put(&[ROW])
    }

    pub(crate) fn null(&mut self) -> Result<(), ExportError> {
        self.0.put(&[NULL])
    }

    pub(crate) fn integer(&mut self, value: i64) -> Result<(), ExportError> {
        self.0.put(&[INTEGER])?;
        self.0.put(&value.to_be_bytes())
    }

    pub(crate) fn text(&mut self, value: &[u8]) -> Result<(), ExportError> {
        self.bytes(TEXT, value)
    }

    pub(crate) fn blob(&mut self, value: &[u8]) -> Result<(), ExportError> {
        self.bytes(BLOB, value)
    }

    fn bytes(&mut self, kind: u8, value: &[u8]) -> Result<(), ExportError> {
        let length = u32::try_from(value.len()).ok().filter(|length| *length <= MAX_VALUE);
        self.0.put(&[kind])?;
        self.0.put(&length.ok_or(ExportError::TooLarge)?.to_be_bytes())?;
        self.0.put(value)
    }

    pub(crate) fn finish(mut self) -> Result<(), ExportError> {
        self.0.put(&[END])?;
        self.0.finish()
    }
}

pub(crate) struct Reader<R>(Opener<R>);

fn bad(what: &str) -> ExportError {
    ExportError::Content { what: what.to_owned() }
}

impl<R: BufRead> Reader<R> {
    /// The reader, and the schema of what it reads.
    pub(crate) fn begin(opener: Opener<R>) -> Result<(Self, u32), ExportError> {
        let mut reader = Self(opener);
        let schema = u32::from_be_bytes(reader.array()?);
        Ok((reader, schema))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ExportError> {
        let mut bytes = [0; N];
        if self.0.take(&mut bytes)? { Ok(bytes) } else { Err(bad("it ends too early")) }
    }

    fn byte(&mut self) -> Result<u8, ExportError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<String, ExportError> {
        let length = usize::from(self.byte()?);
        if length == 0 || length > MAX_NAME {
            return Err(bad("a name is empty or too long"));
        }
        let mut name = vec![0; length];
        if !self.0.take(&mut name)? {
            return Err(bad("it ends too early"));
        }
        String::from_utf8(name).map_err(|_| bad("a name is no text"))
    }

    pub(crate) fn item(&mut self) -> Result<Item, ExportError> {
        match self.byte()? {
            TABLE => {
                let name = self.name()?;
                let count = self.byte()?;
                let columns = (0..count).map(|_| self.name()).collect::<Result<_, _>>()?;
                Ok(Item::Table { name, columns })
            }
            ROW => Ok(Item::Row),
            END if self.0.is_at_end()? => Ok(Item::End),
            END => Err(bad("something follows its end")),
            _ => Err(bad("an unknown mark")),
        }
    }

    pub(crate) fn field(&mut self) -> Result<Field, ExportError> {
        match self.byte()? {
            NULL => Ok(Field::Null),
            INTEGER => Ok(Field::Integer(i64::from_be_bytes(self.array()?))),
            TEXT => {
                let bytes = self.bytes()?;
                let text = std::str::from_utf8(&bytes).map_err(|_| bad("a text is none"))?;
                Ok(Field::Text(Zeroizing::new(text.to_owned())))
            }
            BLOB => Ok(Field::Blob(self.bytes()?)),
            _ => Err(bad("an unknown kind of value")),
        }
    }

    fn bytes(&mut self) -> Result<Zeroizing<Vec<u8>>, ExportError> {
        let length = u32::from_be_bytes(self.array()?);
        if length > MAX_VALUE {
            return Err(bad("a value is too large"));
        }
        let mut left = usize::try_from(length).map_err(|_| bad("a value is too large"))?;
        let mut value = Zeroizing::new(Vec::with_capacity(left.min(PIECE)));
        while left > 0 {
            let (before, piece) = (value.len(), left.min(PIECE));
            value.resize(before + piece, 0);
            if !self.0.take(value.get_mut(before..).unwrap_or_default())? {
                return Err(bad("it ends too early"));
            }
            left -= piece;
        }
        Ok(value)
    }
}
