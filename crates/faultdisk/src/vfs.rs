//! The disks as SQLite sees them: a `sqlite3_vfs` whose functions find the disk by the path.
//!
//! What SQLite promises to a VFS (<https://sqlite.org/c3ref/vfs.html>) is what every safety comment here leans on: it passes
//! the pointers of its declarations, valid for the call; names end in a zero byte; buffers are as long as it says; a file is
//! opened into `szOsFile` bytes of its own, given to no function before it was opened with methods or after it was closed, and
//! used by one thread at a time.
#![expect(unsafe_code, reason = "SQLite calls its file system through C function pointers")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, Once};

use rusqlite::ffi;

use crate::disk::{Handle, Refused, Rng, State, locked};
use crate::file::SECTOR;

/// The disks by where they are mounted.
pub(crate) static MOUNTED: Mutex<BTreeMap<PathBuf, Arc<Mutex<State>>>> = Mutex::new(BTreeMap::new());

/// For temporary names and the salts of logs.
static RANDOM: Mutex<Rng> = Mutex::new(Rng(1));

/// The longest path, in bytes with its zero.
const MAX_PATH: c_int = 1024;

/// An open file as SQLite holds it: its own head, then ours.
#[repr(C)]
struct Opened {
    head: ffi::sqlite3_file,
    ours: *mut Ours,
}

struct Ours {
    disk: Arc<Mutex<State>>,
    handle: Handle,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Makes these disks the file system of every connection that names no other. Once per process.
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let size = c_int::try_from(size_of::<Opened>()).unwrap_or(c_int::MAX);
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size,
            mxPathname: MAX_PATH,
            pNext: ptr::null_mut(),
            zName: c"faultdisk".as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the structure is never freed, and its functions keep to the contract of a VFS.
        let code = unsafe { ffi::sqlite3_vfs_register(vfs, 1) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the file system");
    });
}

/// # Safety
/// `name` is null, or ends in a zero byte and lives for as long as the result is used.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: not null; the rest is the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    name.to_str().ok().map(Path::new)
}

fn disk_of(path: &Path) -> Option<Arc<Mutex<State>>> {
    let mounted = locked(&MOUNTED);
    path.ancestors().find_map(|root| mounted.get(root)).cloned()
}

/// # Safety
/// `file` was opened by [`open`] and is not closed.
unsafe fn ours<'a>(file: *mut ffi::sqlite3_file) -> &'a Ours {
    // SAFETY: `open` left an `Opened` here whose pointer comes from a box that only `close` frees, and nobody changes.
    unsafe { &*(*file.cast::<Opened>()).ours }
}

fn code(refused: Refused, io: c_int) -> c_int {
    match refused {
        Refused::Full => ffi::SQLITE_FULL,
        Refused::Busy => ffi::SQLITE_BUSY,
        Refused::Io | Refused::Missing => io,
    }
}

fn done(result: Result<(), Refused>, io: c_int) -> c_int {
    result.map_or_else(|refused| code(refused, io), |()| ffi::SQLITE_OK)
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let opened = file.cast::<Opened>();
    // SAFETY: SQLite gives `szOsFile` bytes, aligned for its own head of pointers. Without methods it does not close the file.
    unsafe {
        opened.write(Opened { head: ffi::sqlite3_file { pMethods: ptr::null() }, ours: ptr::null_mut() })
    };
    // SAFETY: SQLite's name of the file, or null for a temporary one, which has no disk.
    let Some(path) = (unsafe { path(name) }) else { return ffi::SQLITE_CANTOPEN };
    let Some(disk) = disk_of(path) else { return ffi::SQLITE_CANTOPEN };
    let main = flags & ffi::SQLITE_OPEN_MAIN_DB != 0;
    // The store makes its file itself, in the directory of the same name.
    let create = main || flags & ffi::SQLITE_OPEN_CREATE != 0;
    let handle = locked(&disk).open(path, create, main);
    match handle {
        Err(refused) => code(refused, ffi::SQLITE_CANTOPEN),
        Ok(handle) => {
            let ours = Box::into_raw(Box::new(Ours { disk, handle }));
            // SAFETY: as above.
            unsafe {
                opened.write(Opened { head: ffi::sqlite3_file { pMethods: &raw const METHODS }, ours })
            };
            if !out_flags.is_null() {
                // SAFETY: not null, so it points to an integer of SQLite's.
                unsafe { out_flags.write(flags) };
            }
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let opened = file.cast::<Opened>();
    // SAFETY: `open` left this box here, and a file is closed once.
    let ours = unsafe { Box::from_raw((*opened).ours) };
    // SAFETY: as above; nothing is left to be used twice.
    unsafe { (*opened).ours = ptr::null_mut() };
    locked(&ours.disk).close(ours.handle);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, length: c_int, at: i64) -> c_int {
    let (Ok(length), Ok(at)) = (usize::try_from(length), usize::try_from(at)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: the buffer is that long; zeros first, because it may be uninitialised and because what is beyond the end of a
    // file has to read as zeros.
    let into = unsafe {
        ptr::write_bytes(into.cast::<u8>(), 0, length);
        std::slice::from_raw_parts_mut(into.cast::<u8>(), length)
    };
    // SAFETY: an open file.
    let ours = unsafe { ours(file) };
    let found = locked(&ours.disk).read(ours.handle, at, into);
    match found {
        Ok(found) if found == length => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(refused) => code(refused, ffi::SQLITE_IOERR_READ),
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    at: i64,
) -> c_int {
    let (Ok(length), Ok(at)) = (usize::try_from(length), usize::try_from(at)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: the buffer is that long and initialised.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    // SAFETY: an open file.
    let ours = unsafe { ours(file) };
    let result = locked(&ours.disk).write(ours.handle, at, bytes);
    done(result, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    let Ok(length) = usize::try_from(length) else { return ffi::SQLITE_IOERR_TRUNCATE };
    // SAFETY: an open file.
    let ours = unsafe { ours(file) };
    let result = locked(&ours.disk).truncate(ours.handle, length);
    done(result, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let ours = unsafe { ours(file) };
    let result = locked(&ours.disk).sync(ours.handle);
    done(result, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file.
    let ours = unsafe { ours(file) };
    let length = locked(&ours.disk).len(ours.handle);
    match length.map(i64::try_from) {
        Ok(Ok(length)) => {
            // SAFETY: an integer of SQLite's.
            unsafe { size.write(length) };
            ffi::SQLITE_OK
        }
        _ => ffi::SQLITE_IOERR_FSTAT,
    }
}

/// A database has one connection, so there is nobody to lock out.
unsafe extern "C" fn lock(_file: *mut ffi::sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_file: *mut ffi::sqlite3_file, result: *mut c_int) -> c_int {
    // SAFETY: an integer of SQLite's.
    unsafe { result.write(0) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_file: *mut ffi::sqlite3_file, _op: c_int, _arg: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    c_int::try_from(SECTOR).unwrap_or(c_int::MAX)
}

/// As of most disks: a write that is torn damages nothing beside it. Neither whole writes nor their order are promised.
unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite's name of a file.
    let Some(path) = (unsafe { path(name) }) else { return ffi::SQLITE_IOERR_DELETE };
    let Some(disk) = disk_of(path) else { return ffi::SQLITE_IOERR_DELETE };
    let result = locked(&disk).delete(path, sync_dir != 0);
    match result {
        Err(Refused::Missing) => ffi::SQLITE_IOERR_DELETE_NOENT,
        result => done(result, ffi::SQLITE_IOERR_DELETE),
    }
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's name of a file.
    let path = unsafe { path(name) };
    let exists = path.is_some_and(|path| disk_of(path).is_some_and(|disk| locked(&disk).exists(path)));
    // SAFETY: an integer of SQLite's.
    unsafe { result.write(c_int::from(exists)) };
    ffi::SQLITE_OK
}

/// Paths are taken as they come.
unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite's name of a file.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if usize::try_from(room).is_ok_and(|room| name.len() <= room) {
        // SAFETY: the room is that large and SQLite's own, so apart from the name.
        unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast::<c_char>(), out, name.len()) };
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_CANTOPEN
    }
}

unsafe extern "C" fn randomness(_vfs: *mut ffi::sqlite3_vfs, length: c_int, out: *mut c_char) -> c_int {
    let mut random = locked(&RANDOM);
    for n in 0..usize::try_from(length).unwrap_or(0) {
        let [byte, ..] = random.next().to_le_bytes();
        // SAFETY: the buffer is that long.
        unsafe { out.cast::<u8>().add(n).write(byte) };
    }
    length
}

/// Time passes by saying so.
unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

/// One moment, as milliseconds of the Julian calendar.
const MOMENT: i64 = 212_000_000_000_000;

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, now: *mut f64) -> c_int {
    // SAFETY: a number of SQLite's.
    unsafe { now.write(2_453_703.7) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int64(_vfs: *mut ffi::sqlite3_vfs, now: *mut i64) -> c_int {
    // SAFETY: an integer of SQLite's.
    unsafe { now.write(MOMENT) };
    ffi::SQLITE_OK
}
