//! The shared page of clock lines: "PTP time = a + b × (CLOCK_MONOTONIC_RAW − m)".
//!
//! Not responsible for: estimating a line, deciding when a consumer changes from one line to another.
//!
//! # Byte layout, version 1
//!
//! The page is a regular file of exactly 4096 bytes, mode 0644, mapped shared. It is an array of 512 64-bit
//! words in native byte order, so there is nothing to align and nothing to swap.
//!
//! | word | content |
//! |---|---|
//! | 0 | magic, the number 0x574c_434c_4f43_4b31 |
//! | 1 | version (1) in bits 0–31, size of the page in bytes (4096) in bits 32–63 |
//! | 2 | heartbeat: CLOCK_MONOTONIC_RAW in ns, written at least each 250 ms; 0 = the writer has stopped |
//! | 3 | number of records (8) in bits 0–31, bytes of one record (128) in bits 32–63 |
//! | 4 | the boot in which the page was made: the first eight octets of the boot id in memory order; 0 = unknown |
//! | 5–15 | 0 |
//! | 16 + 16·i | record i, 0 ≤ i < 8 |
//! | 144–511 | 0 |
//!
//! A record is sixteen words: a sequence counter, one word of zero, and the same line twice:
//!
//! | word | content |
//! |---|---|
//! | 0 | sequence; while it is even copy A is whole, while it is odd copy B is whole |
//! | 1 | 0 |
//! | 2–8 | copy A |
//! | 9–15 | copy B |
//!
//! | word of a copy | content |
//! |---|---|
//! | 0 | bits 0–7 kind of source, 8–15 its number, 16–23 state, 24–31 zero, 32–63 generation |
//! | 1 | b0, signed ns of CLOCK_MONOTONIC_RAW |
//! | 2 | p0, signed ns since 1970 TAI |
//! | 3 | rate − 1, signed, in units of 2^-40 |
//! | 4 | error bound in ns |
//! | 5 | the leader's clock identity, its eight octets in memory order |
//! | 6 | 0 |
//!
//! Kinds: 0 no line, 1 PTPv2 (number = domain), 2 PTPv1 (number = subdomain), 3 free-running, 4 PHC
//! (number = N of /dev/ptpN), 5 system. States: 0 disabled, 1 listening, 2 acquiring, 3 tracking, 4 locked,
//! 5 holdover, 6 lost, 7 leader, 8 free-running. Words said to be zero are ignored by readers.
//!
//! To read: load the sequence (acquire), the seven words of the copy that it names, an acquire fence, the
//! sequence again; when it has changed, start over. Because one copy is whole at any moment, a writer that is
//! preempted or killed in the middle of an update never makes a reader wait: only a writer that *finishes*
//! updates meanwhile costs a retry, and it publishes at most eight times a second.

mod boot;
mod clock_pair;
mod line;
mod map;
mod page;
mod reader;
mod writer;

pub use clock_pair::{ClockPair, monotonic_now, monotonic_raw_pair, raw_now, realtime_raw_pair};
pub use line::{Line, LineState, RATE_BITS, Source};
pub use page::{CAPACITY, HEARTBEAT_TIMEOUT_NS, PAGE_BYTES};
pub use reader::{OpenError, Reader};
pub use writer::{CreateError, PublishError, Writer};
