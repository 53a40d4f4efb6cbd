//! A small mutator: takes the files of a directory, breaks them in reproducible ways, and feeds a target.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Inputs per target when `WIRELOOM_FUZZ_ROUNDS` does not say otherwise: a few seconds in a debug build.
const ROUNDS: u64 = 20_000;
/// The longest input: more than any datagram.
const MAX_BYTES: usize = 70_000;
/// Changes made to one input, at most.
const MAX_CHANGES: u64 = 6;
/// Numbers at which length fields and counters break.
const EDGES: [u8; 10] = [0, 1, 2, 0x0a, 0x0d, 0x20, 0x7f, 0x80, 0xfe, 0xff];
/// Pieces of text that parsers of text look for.
const TOKENS: [&str; 14] = [
    "\r\n",
    "\n\n",
    "=",
    ":",
    "/",
    " ",
    ";",
    "-1",
    "0",
    "4294967296",
    "18446744073709551616",
    "1e309",
    "a=",
    "m=",
];

/// Which mutations are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Seed of the first one; each further one has the next seed, and depends on nothing else.
    pub first_seed: u64,
    /// How many there are at least.
    pub rounds: u64,
    /// How long it goes on with more.
    pub time: Duration,
}

impl Plan {
    /// What `WIRELOOM_FUZZ_SEED` (0), `WIRELOOM_FUZZ_ROUNDS` (20 000) and `WIRELOOM_FUZZ_SECONDS` (0) say.
    ///
    /// Panics when one of them is no number.
    pub fn from_environment() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
        };
        Self {
            first_seed: number("WIRELOOM_FUZZ_SEED").unwrap_or(0),
            rounds: number("WIRELOOM_FUZZ_ROUNDS").unwrap_or(ROUNDS),
            time: Duration::from_secs(number("WIRELOOM_FUZZ_SECONDS").unwrap_or(0)),
        }
    }
}

/// Feeds `target` with every file below `tests/vectors/<corpus>` as [`Plan::from_environment`] says.
///
/// Files ending in `.hex` are hexadecimal text (`#` begins a comment); `.expect` and `.md` are left out; everything
/// else is taken as octets. Panics when the target panics, and when the directory holds nothing.
pub fn drive(corpus: &str, target: fn(&[u8])) {
    let inputs = load(&vectors().join(corpus));
    assert!(!inputs.is_empty(), "tests/vectors/{corpus} holds no input");
    drive_from(&inputs, target);
}

/// The same from `inputs`; prints how many mutations were tried, and which.
pub fn drive_from(inputs: &[impl AsRef<[u8]>], target: fn(&[u8])) {
    let inputs: Vec<&[u8]> = inputs.iter().map(AsRef::as_ref).collect();
    let Plan { first_seed, .. } = Plan::from_environment();
    let count = run(&inputs, Plan::from_environment(), target);
    let name = std::thread::current().name().unwrap_or("a target").to_owned();
    println!("fuzzed {name}: {count} inputs, the first of seed {first_seed}");
}

/// Feeds `target` with `inputs` as they are, cut at every length up to 256, and then with mutations of them; returns
/// how many mutations. The same inputs and seeds give the same mutations every time.
fn run(inputs: &[&[u8]], plan: Plan, target: fn(&[u8])) -> u64 {
    for input in inputs {
        feed(target, input, "as it is");
        for length in 0..input.len().min(256) {
            feed(target, &input[..length], "cut");
        }
    }
    let start = Instant::now();
    let mut scratch = Vec::new();
    let mut count = 0;
    while count < plan.rounds || start.elapsed() < plan.time {
        let seed = plan.first_seed.wrapping_add(count);
        let mut random = Random::new(seed);
        scratch.clear();
        scratch.extend_from_slice(inputs[random.below(inputs.len())]);
        for _ in 0..=random.next() % MAX_CHANGES {
            change(&mut scratch, inputs, &mut random);
        }
        scratch.truncate(MAX_BYTES);
        feed(target, &scratch, &format!("WIRELOOM_FUZZ_SEED={seed} WIRELOOM_FUZZ_ROUNDS=1"));
        count += 1;
    }
    count
}

/// The directory of vectors of the workspace.
pub fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

/// The inputs in a directory and those below it, in the order of their names.
fn load(directory: &Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    collect(directory, &mut files);
    files.sort();
    let read =
        |path: &PathBuf| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    files
        .iter()
        .filter_map(|path| match path.extension().and_then(|extension| extension.to_str()) {
            Some("expect" | "md") => None,
            Some("hex") => Some(unhex(&String::from_utf8_lossy(&read(path)))),
            _ => Some(read(path)),
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The octets of hexadecimal text; blanks and line breaks mean nothing, `#` begins a comment.
///
/// Panics when the text is not that: a vector is part of the source.
pub fn unhex(text: &str) -> Vec<u8> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: Vec<u8> = lines.flat_map(str::bytes).filter(|byte| !byte.is_ascii_whitespace()).collect();
    let nibble = |digit: u8| char::from(digit).to_digit(16).expect("a vector holds hexadecimal digits") as u8;
    assert!(digits.len().is_multiple_of(2), "a vector holds whole octets");
    digits.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

fn feed(target: fn(&[u8]), input: &[u8], how: &str) {
    // The target has no state that a panic could leave half done.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("input ({how}, {} bytes): {hex}\n{}", input.len(), String::from_utf8_lossy(input));
        std::panic::resume_unwind(panic);
    }
}

fn change(input: &mut Vec<u8>, others: &[&[u8]], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let longest = if random.below(4) == 0 { 64 } else { 4 };
    let span = 1 + random.below(longest);
    let end = (at + span).min(input.len());
    match random.below(12) {
        0 => flip(input, at, random),
        1 => set(input, at, EDGES[random.below(EDGES.len())]),
        2 => set(input, at, random.next() as u8),
        3 => (at..end).for_each(|index| input[index] = random.next() as u8),
        4 => input.truncate(at),
        5 => drop(input.drain(at..end)),
        6 => {
            let piece = input[at..end].to_vec();
            insert(input, random.below(at + 1), &piece);
        }
        7 => insert(input, at, TOKENS[random.below(TOKENS.len())].as_bytes()),
        8 => {
            let other = others[random.below(others.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        9 => add(input, at, random),
        10 => {
            let filler = vec![EDGES[random.below(EDGES.len())]; span];
            insert(input, at, &filler);
        }
        _ => swap_lines(input, random),
    }
}

fn flip(input: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn set(input: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = value;
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

/// Moves a 16-bit number a little, as sequence numbers and lengths break.
fn add(input: &mut [u8], at: usize, random: &mut Random) {
    if let Some(pair) = input.get_mut(at..at + 2) {
        let number = u16::from_be_bytes([pair[0], pair[1]]);
        let moved = number.wrapping_add(random.below(32) as u16).wrapping_sub(16);
        pair.copy_from_slice(&moved.to_be_bytes());
    }
}

/// Doubles a line, or exchanges two.
fn swap_lines(input: &mut Vec<u8>, random: &mut Random) {
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.len() < 2 {
        return;
    }
    let (one, other) = (random.below(lines.len()), random.below(lines.len()));
    if one == other {
        let line = lines[one].clone();
        lines.insert(one, line);
    } else {
        lines.swap(one, other);
    }
    *input = lines.concat();
}

/// Numbers that are the same for the same seed, on every machine.
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (SplitMix64).
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static SEEN: AtomicU64 = AtomicU64::new(0);

    const FEW: Plan = Plan { first_seed: 0, rounds: 2000, time: Duration::ZERO };

    fn digest(input: &[u8]) {
        let sum = input.iter().fold(input.len() as u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
        SEEN.fetch_add(sum.wrapping_mul(0x9e37_79b9_7f4a_7c15), Relaxed);
    }

    #[test]
    fn inputs_are_reproducible_and_various() {
        let seen = |plan| {
            run(&[b"one line\nand another\n", &[0, 1, 2, 3]], plan, digest);
            SEEN.swap(0, Relaxed)
        };
        let whole = seen(FEW);
        assert_eq!(seen(FEW), whole);
        // A plan that begins later goes on where the first would: each mutation is the work of its seed alone.
        let none = seen(Plan { rounds: 0, ..FEW });
        let parts =
            [0, 1000].map(|first_seed| seen(Plan { first_seed, rounds: 1000, ..FEW }).wrapping_sub(none));
        assert_eq!(parts[0].wrapping_add(parts[1]), whole.wrapping_sub(none));
        assert!(parts[0] != 0 && parts[0] != parts[1]);
    }

    #[test]
    fn a_plan_with_time_takes_it() {
        let plan = Plan { rounds: 1, time: Duration::from_millis(50), ..FEW };
        assert!(run(&[b"a"], plan, |_| ()) > 1);
    }

    #[test]
    #[should_panic(expected = "three zeros")]
    fn a_panic_of_the_target_reaches_the_test() {
        run(&[&[0, 0, 1, 0]], FEW, |input| assert!(!input.starts_with(&[0, 0, 0]), "three zeros"));
    }
}
