//! An allocator that counts the bytes in use and their peak, for tests that state how much memory something may take.
//!
//! ```
//! #[global_allocator]
//! static HEAP: landbridge_heapcount::Counting = landbridge_heapcount::Counting;
//!
//! let before = landbridge_heapcount::begin();
//! drop(vec![0_u8; 100_000]);
//! assert!(landbridge_heapcount::peak() >= before + 100_000);
//! assert!(landbridge_heapcount::in_use() < before + 100_000);
//! ```
#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted. To be the test program's `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

/// Bytes in use by the whole process, as they were asked for.
pub fn in_use() -> usize {
    IN_USE.load(Relaxed)
}

/// The most bytes that were in use at a time since [`begin`].
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Begins a new peak. Gives the bytes in use.
pub fn begin() -> usize {
    let now = in_use();
    PEAK.store(now, Relaxed);
    now
}

fn more(bytes: usize) {
    let now = IN_USE.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    PEAK.fetch_max(now, Relaxed);
}

fn less(bytes: usize) {
    IN_USE.fetch_sub(bytes, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        less(layout.size());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
