//! No panic crosses into C.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Bytes of a source file name that are kept.
const FILE_BYTES: usize = 96;

static PANICS: AtomicU32 = AtomicU32::new(0);
static LINE: AtomicU32 = AtomicU32::new(0);
static FILE: [AtomicU8; FILE_BYTES] = [const { AtomicU8::new(0) }; FILE_BYTES];

thread_local! {
    static FENCED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`; a panic in it becomes `fallback` and is remembered for [`take_report`].
pub(crate) fn fence<T>(fallback: T, f: impl FnOnce() -> T) -> T {
    let outer = FENCED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    FENCED.set(outer);
    result.unwrap_or(fallback)
}

/// Makes panics inside a fence silent: the default hook writes a backtrace, which takes hundreds of milliseconds
/// and would do so on the real-time thread. The hook belongs to this library's own copy of the standard library.
pub(crate) fn install_hook() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !FENCED.get() {
            return default(info);
        }
        if let Some(place) = info.location() {
            LINE.store(place.line(), Ordering::Relaxed);
            for (slot, byte) in FILE.iter().zip(place.file().bytes().chain(std::iter::repeat(0))) {
                slot.store(byte, Ordering::Relaxed);
            }
        }
        PANICS.fetch_add(1, Ordering::Release);
    }));
}

/// Removes the hook again; called when the module is unloaded.
pub(crate) fn remove_hook() {
    drop(std::panic::take_hook());
}

/// What to tell about panics since the last call: how many, and where the newest was.
pub(crate) fn take_report() -> Option<(u32, String)> {
    let count = PANICS.swap(0, Ordering::Acquire);
    if count == 0 {
        return None;
    }
    let bytes: Vec<u8> = FILE.iter().map(|b| b.load(Ordering::Relaxed)).take_while(|b| *b != 0).collect();
    Some((count, format!("{}:{}", String::from_utf8_lossy(&bytes), LINE.load(Ordering::Relaxed))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_fallback_and_its_place_is_kept() {
        install_hook();
        assert_eq!(fence(-5, || panic!("on purpose")), -5);
        let (count, place) = take_report().expect("one panic");
        assert!(count >= 1);
        assert!(place.contains("fence.rs:"), "{place}");
        remove_hook();
    }
}
