//! The disk: names, files, and the fault that waits for its moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::file::File;
use crate::vfs;

/// What goes wrong. Each counts the calls that it concerns and strikes at one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From that write on there is no space, until [`Disk::lift`].
    Full,
    /// That one call (open, read, write, synchronise, cut, delete) fails. A failed synchronisation loses what it was for: later
    /// ones do not make up for it.
    Io,
    /// From that call on every call fails, until [`Disk::lift`].
    Broken,
    /// That one write takes half of its bytes and fails.
    ShortWrite,
    /// From that changing call (open, write, synchronise, cut, delete) on every call fails, until [`Disk::power_cycle`].
    PowerLoss,
}

/// What SQLite asks a disk for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Read,
    Write,
    Sync,
    Truncate,
    Delete,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 5] = [Self::Full, Self::Io, Self::Broken, Self::ShortWrite, Self::PowerLoss];

    fn concerns(self, call: Call) -> bool {
        match self {
            Self::Full | Self::ShortWrite => call == Call::Write,
            Self::Io | Self::Broken => true,
            Self::PowerLoss => call != Call::Read,
        }
    }

    /// Whether it stays for every call that it concerns.
    fn stays(self) -> bool {
        matches!(self, Self::Full | Self::Broken | Self::PowerLoss)
    }
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Io,
    Missing,
    Busy,
}

/// A fault that waits or has struck.
struct Armed {
    fault: Fault,
    left: u64,
    struck: bool,
}

#[derive(Default)]
pub(crate) struct State {
    files: BTreeMap<u64, File>,
    names: BTreeMap<PathBuf, u64>,
    /// The names that a loss of power leaves.
    durable_names: BTreeMap<PathBuf, u64>,
    in_use: BTreeSet<u64>,
    next: u64,
    /// How often the power came back: handles from before are dead.
    boots: u64,
    armed: Option<Armed>,
}

/// An open file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    file: u64,
    boot: u64,
    /// Whether the file is for one handle only.
    alone: bool,
}

impl State {
    /// Counts a call, and gives the fault that strikes it.
    fn strikes(&mut self, call: Call) -> Option<Fault> {
        let armed = self.armed.as_mut()?;
        if armed.struck {
            let again = match armed.fault {
                Fault::PowerLoss => true,
                fault => fault.stays() && fault.concerns(call),
            };
            return again.then_some(armed.fault);
        }
        if !armed.fault.concerns(call) {
            return None;
        }
        if armed.left > 0 {
            armed.left -= 1;
            return None;
        }
        armed.struck = true;
        Some(armed.fault)
    }

    fn check(&mut self, call: Call) -> Result<(), Refused> {
        match self.strikes(call) {
            None => Ok(()),
            Some(Fault::Full) => Err(Refused::Full),
            Some(_) => Err(Refused::Io),
        }
    }

    fn file(&mut self, handle: Handle) -> Result<&mut File, Refused> {
        if handle.boot != self.boots {
            return Err(Refused::Io);
        }
        self.files.get_mut(&handle.file).ok_or(Refused::Io)
    }

    pub(crate) fn open(&mut self, path: &Path, create: bool, alone: bool) -> Result<Handle, Refused> {
        self.check(Call::Open)?;
        let file = match self.names.get(path) {
            Some(file) => *file,
            None if create => {
                let file = self.next;
                self.next += 1;
                self.files.insert(file, File::default());
                self.names.insert(path.to_path_buf(), file);
                file
            }
            None => return Err(Refused::Missing),
        };
        if alone && !self.in_use.insert(file) {
            return Err(Refused::Busy);
        }
        Ok(Handle { file, boot: self.boots, alone })
    }

    pub(crate) fn close(&mut self, handle: Handle) {
        if handle.alone && handle.boot == self.boots {
            self.in_use.remove(&handle.file);
        }
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.names.contains_key(path)
    }

    pub(crate) fn read(&mut self, handle: Handle, at: usize, into: &mut [u8]) -> Result<usize, Refused> {
        self.check(Call::Read)?;
        Ok(self.file(handle)?.read(at, into))
    }

    pub(crate) fn write(&mut self, handle: Handle, at: usize, bytes: &[u8]) -> Result<(), Refused> {
        match self.strikes(Call::Write) {
            None => self.file(handle)?.write(at, bytes),
            Some(Fault::Full) => return Err(Refused::Full),
            // The power goes while the write is under way.
            Some(Fault::ShortWrite | Fault::PowerLoss) => {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                self.file(handle)?.write(at, half);
                return Err(Refused::Io);
            }
            Some(Fault::Io | Fault::Broken) => return Err(Refused::Io),
        }
        Ok(())
    }

    pub(crate) fn truncate(&mut self, handle: Handle, length: usize) -> Result<(), Refused> {
        self.check(Call::Truncate)?;
        self.file(handle)?.set_len(length);
        Ok(())
    }

    pub(crate) fn sync(&mut self, handle: Handle) -> Result<(), Refused> {
        let struck = self.strikes(Call::Sync);
        let file = self.file(handle)?;
        match struck {
            None | Some(Fault::Full | Fault::ShortWrite) => file.sync(),
            // Under way: the power cycle says how much of it was done.
            Some(Fault::PowerLoss) => return Err(Refused::Io),
            Some(Fault::Io | Fault::Broken) => {
                file.forget_unsynced();
                return Err(Refused::Io);
            }
        }
        // A new file is synchronised with its directory, which takes all other names along.
        if !self.durable_names.values().any(|file| *file == handle.file) {
            self.durable_names.clone_from(&self.names);
        }
        Ok(())
    }

    pub(crate) fn len(&mut self, handle: Handle) -> Result<usize, Refused> {
        Ok(self.file(handle)?.len())
    }

    /// Deletes a name; `durably` if the directory is synchronised as well.
    pub(crate) fn delete(&mut self, path: &Path, durably: bool) -> Result<(), Refused> {
        self.check(Call::Delete)?;
        if self.names.remove(path).is_none() {
            return Err(Refused::Missing);
        }
        if durably {
            self.durable_names.clone_from(&self.names);
        }
        Ok(())
    }

    fn power_cycle(&mut self, seed: u64) {
        let mut rng = Rng(seed);
        let mut keep = move || match seed {
            0 => false,
            1 => true,
            _ => rng.next().is_multiple_of(2),
        };
        // A name that was made or deleted without its directory being synchronised: either way.
        let all: BTreeSet<PathBuf> = self.names.keys().chain(self.durable_names.keys()).cloned().collect();
        for path in all {
            let (now, durable) = (self.names.get(&path), self.durable_names.get(&path));
            if now != durable && keep() {
                match now.copied() {
                    Some(file) => self.durable_names.insert(path, file),
                    None => self.durable_names.remove(&path),
                };
            }
        }
        self.names.clone_from(&self.durable_names);
        for file in self.files.values_mut() {
            file.lose_power(&mut keep);
        }
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|file, _| named.contains(file));
        self.in_use.clear();
        self.boots += 1;
        self.armed = None;
    }
}

/// SplitMix64: enough to toss coins that can be tossed again.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The disk is a test's: what a thread left when it panicked is as good as any other state.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A disk, mounted for as long as this lives.
pub struct Disk {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Disk {
    /// Mounts an empty disk at `root`: files below it are on this disk. The directory itself need not exist.
    pub fn mount(root: impl Into<PathBuf>) -> Self {
        let disk = Self { root: root.into(), state: Arc::default() };
        vfs::register();
        locked(&vfs::MOUNTED).insert(disk.root.clone(), Arc::clone(&disk.state));
        disk
    }

    /// Lets `fault` strike at the `n`-th call that it concerns, counted from 0 and from now. Replaces an earlier fault.
    pub fn arm(&self, fault: Fault, n: u64) {
        locked(&self.state).armed = Some(Armed { fault, left: n, struck: false });
    }

    /// Whether the armed fault has struck.
    pub fn struck(&self) -> bool {
        locked(&self.state).armed.as_ref().is_some_and(|armed| armed.struck)
    }

    /// Ends the fault, whether it has struck or not.
    pub fn lift(&self) {
        locked(&self.state).armed = None;
    }

    /// Power off and on: files have what was synchronised, and of everything else the sectors that `seed` tosses for (0: none,
    /// 1: all). What is open is dead, and the fault is over.
    pub fn power_cycle(&self, seed: u64) {
        locked(&self.state).power_cycle(seed);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        locked(&vfs::MOUNTED).remove(&self.root);
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("root", &self.root).finish_non_exhaustive()
    }
}
