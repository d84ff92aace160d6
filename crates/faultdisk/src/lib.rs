//! A disk in memory on which SQLite keeps its files, and which fails on demand: it fills up, reports I/O errors, writes half of
//! what it was given, or loses power and with it what was not synchronised. For tests; nothing that is shipped depends on it.
//!
//! The disk is mounted at a directory. From the first mount on, every SQLite connection of the process that names no other
//! file system uses these disks, so code under test opens its files as ever. The disk has one connection per file: a second one
//! is refused as busy.
//!
//! ```
//! use landbridge_faultdisk::{Disk, Fault};
//! use rusqlite::Connection;
//!
//! let disk = Disk::mount("/disk/example");
//! let open = || -> rusqlite::Result<Connection> {
//!     let connection = Connection::open("/disk/example/a.db")?;
//!     connection.execute_batch("PRAGMA synchronous = EXTRA; CREATE TABLE IF NOT EXISTS t (n INTEGER)")?;
//!     Ok(connection)
//! };
//! let connection = open()?;
//! connection.execute("INSERT INTO t VALUES (1)", [])?;
//!
//! disk.arm(Fault::PowerLoss, 0);
//! assert!(connection.execute("INSERT INTO t VALUES (2)", []).is_err());
//! assert!(disk.struck());
//! disk.power_cycle(7);
//! let rows: i64 = open()?.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?;
//! assert_eq!(rows, 1);
//! # Ok::<(), rusqlite::Error>(())
//! ```

mod disk;
mod file;
mod vfs;

pub use disk::{Disk, Fault};
