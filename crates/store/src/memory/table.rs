//! A map that can be taken back to where it was.

use std::collections::BTreeMap;
use std::ops::Bound;

/// A `BTreeMap` with an undo log, so that a transaction costs what it touches and not what is stored.
#[derive(Clone)]
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    /// Each changed key with its value before the change, oldest change first.
    undo: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    /// Rows with a key greater than `after`.
    pub(super) fn after(&self, after: K) -> impl Iterator<Item = (&K, &V)> {
        self.rows.range((Bound::Excluded(after), Bound::Unbounded))
    }

    /// Rows from `first` on.
    pub(super) fn from(&self, first: K) -> impl Iterator<Item = (&K, &V)> {
        self.rows.range(first..)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        let old = self.rows.insert(key.clone(), value);
        self.undo.push((key, old));
    }

    /// Removes a row; whether there was one.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        let old = self.rows.remove(key);
        let was_there = old.is_some();
        if was_there {
            self.undo.push((key.clone(), old));
        }
        was_there
    }

    pub(super) fn clear(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        self.undo.extend(rows.into_iter().map(|(key, value)| (key, Some(value))));
    }

    pub(super) fn commit(&mut self) {
        self.undo.clear();
    }

    pub(super) fn roll_back(&mut self) {
        while let Some((key, old)) = self.undo.pop() {
            match old {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }
}

impl<V: Clone> Table<u64, V> {
    /// The number after the greatest key; keys of deleted rows at the end come again, so only for tables that keep their rows.
    pub(super) fn next_seq(&self) -> u64 {
        self.rows.last_key_value().map_or(1, |(last, _)| last + 1)
    }
}
