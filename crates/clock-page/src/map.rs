//! The C boundary: one mapping of one page, and the clocks of the kernel.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use crate::page::{PAGE_BYTES, WORDS};

/// One shared mapping of a clock page; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Map {
    words: NonNull<[AtomicU64; WORDS]>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is reached through atomics only.
unsafe impl Send for Map {}
// SAFETY: as above: every access is an atomic load or store.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first page of `file`, whose size the caller has checked, for reading.
    pub(crate) fn read_only(file: &File) -> io::Result<Self> {
        Self::new(file, libc::PROT_READ)
    }

    /// Maps the first page of `file`, whose size the caller has set, for reading and writing.
    pub(crate) fn writable(file: &File) -> io::Result<Self> {
        Self::new(file, libc::PROT_READ | libc::PROT_WRITE)
    }

    fn new(file: &File, protection: libc::c_int) -> io::Result<Self> {
        // SAFETY: asks for a new mapping at an address of the kernel's choice, so no memory in use here is
        // touched; the descriptor is open because `file` is borrowed (mmap(2)).
        let address = unsafe {
            libc::mmap(ptr::null_mut(), PAGE_BYTES, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let words =
            NonNull::new(address.cast()).ok_or_else(|| io::Error::other("mmap returned address 0"))?;
        Ok(Self { words })
    }

    /// The page as words. A read-only mapping must not be stored to: only [`crate::Writer`] does, and it maps
    /// writable.
    pub(crate) fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: the mapping is PAGE_BYTES = 8 × WORDS long, aligned to a page, lives as long as `self`, and
        // is only ever seen as atomics, for which every bit pattern is valid. The file was at least that long
        // when mapped and nobody but its owner may shorten it; our writer never does.
        unsafe { self.words.as_ref() }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.words.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// Nanoseconds of the kernel clock `clock`; 0 when the kernel does not have it.
pub(crate) fn read_clock(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the duration of the call (clock_gettime(2)).
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return 0;
    }
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}
