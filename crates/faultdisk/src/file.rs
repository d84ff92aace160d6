//! One file: what is read back, and what the platter has.

/// What tears: a write reaches the platter in pieces of this size, each or not.
pub(crate) const SECTOR: usize = 512;

/// Something done to a file that is not synchronised yet.
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Default)]
pub(crate) struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

impl File {
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Copies from `at`; how many bytes there were.
    pub(crate) fn read(&self, at: usize, into: &mut [u8]) -> usize {
        let rest = self.live.get(at..).unwrap_or_default();
        let found = rest.len().min(into.len());
        if let (Some(into), Some(rest)) = (into.get_mut(..found), rest.get(..found)) {
            into.copy_from_slice(rest);
        }
        found
    }

    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        put(&mut self.live, at, bytes);
        self.unsynced.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    pub(crate) fn set_len(&mut self, length: usize) {
        self.live.resize(length, 0);
        self.unsynced.push(Change::Length(length));
    }

    pub(crate) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable, |_| true);
        }
    }

    /// A synchronisation that failed, as Linux has it: the changes are still read back, and no later one writes them.
    pub(crate) fn forget_unsynced(&mut self) {
        self.unsynced.clear();
    }

    /// What the platter has after a loss of power, where `keep` says of each unsynchronised sector whether it made it.
    pub(crate) fn lose_power(&mut self, mut keep: impl FnMut() -> bool) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable, |_sector| keep());
        }
        self.live.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(self, to: &mut Vec<u8>, mut keep: impl FnMut(usize) -> bool) {
        match self {
            Self::Write { at, bytes } => {
                let mut position = at;
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    // To the end of the sector that `position` lies in.
                    let (sector, later) = rest.split_at((SECTOR - position % SECTOR).min(rest.len()));
                    if keep(position / SECTOR) {
                        put(to, position, sector);
                    }
                    position += sector.len();
                    rest = later;
                }
            }
            Self::Length(length) => {
                if keep(length / SECTOR) {
                    to.resize(length, 0);
                }
            }
        }
    }
}

fn put(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    if let Some(place) = to.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}
