//! The index of a stanza: where each of its nodes begins and ends.

/// One node of a stanza. Nodes stand in the order in which they begin, so that a node and all below it
/// are `size` entries in a row. Strings and attributes are not indexed: they are read where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Position of the tag.
    pub(crate) tag: u32,
    /// Position behind the attributes, where the content begins if there is any.
    pub(crate) content: u32,
    /// Number of entries of this node and all below it. While the node is open: index of its parent.
    pub(crate) size: u32,
    /// While the node is open: how many of its children are still to come.
    pub(crate) left: u32,
    pub(crate) kind: ContentKind,
}

/// What a node contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ContentKind {
    #[default]
    None,
    Children,
    Value,
}

/// Stands for the parent of the root.
pub(crate) const NO_PARENT: u32 = u32::MAX;

/// How many entries fit without an allocation: most stanzas have no more nodes.
const FEW: usize = 4;
const BLANK: Entry = Entry { tag: 0, content: 0, size: 0, left: 0, kind: ContentKind::None };

/// The entries of one stanza.
#[derive(Debug, Clone)]
pub(crate) enum Tape {
    Few { entries: [Entry; FEW], length: usize },
    Many(Vec<Entry>),
}

impl Tape {
    #[inline]
    pub(crate) fn new() -> Self {
        Self::Few { entries: [BLANK; FEW], length: 0 }
    }

    #[inline]
    pub(crate) fn entries(&self) -> &[Entry] {
        match self {
            Self::Few { entries, length } => entries.get(..*length).unwrap_or_default(),
            Self::Many(entries) => entries,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::Few { length, .. } => *length as u32,
            Self::Many(entries) => entries.len() as u32,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) {
        match self {
            Self::Few { entries, length } => {
                if let Some(slot) = entries.get_mut(*length) {
                    *slot = entry;
                    *length += 1;
                } else {
                    let mut many = Vec::with_capacity(FEW * 8);
                    many.extend_from_slice(entries);
                    many.push(entry);
                    *self = Self::Many(many);
                }
            }
            Self::Many(entries) => entries.push(entry),
        }
    }

    /// Marks the last child of `parent` as complete, and every node that is complete with it. Gives the
    /// next open node, or [`NO_PARENT`], and by how many levels it lies higher than `parent`.
    #[inline]
    pub(crate) fn close(&mut self, mut parent: u32) -> (u32, usize) {
        let length = self.len();
        let mut levels = 0;
        let entries = match self {
            Self::Few { entries, .. } => entries.as_mut_slice(),
            Self::Many(entries) => entries,
        };
        while let Some(entry) = entries.get_mut(parent as usize) {
            entry.left = entry.left.saturating_sub(1);
            if entry.left > 0 {
                break;
            }
            let index = parent;
            parent = entry.size;
            entry.size = length - index;
            levels += 1;
        }
        (parent, levels)
    }
}
