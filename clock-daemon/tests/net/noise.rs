//! Broken and hostile PTP packets, and a sender of them that runs in another network namespace.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

/// Set for the process that sends: seconds and, in hexadecimal, the clock that a part of the packets pretends to be.
const ORDER: &str = "WIRELOOM_TEST_PTP_NOISE";

/// A generator of numbers that look random (xorshift64).
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Messages that are right but for what `spoil` does to them: type, length.
const KINDS: [(u8, usize); 6] = [(0, 44), (1, 44), (8, 44), (9, 54), (0x0b, 64), (0x0d, 48)];

/// Lets `command`, this test program entered into a namespace, send for `seconds`; returns how many packets it sent.
///
/// `test` is the name of the test that calls [`send_if_ordered`].
pub fn send_from(mut command: Command, test: &str, seconds: u64, leader: &str) -> u64 {
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    let output = command.env(ORDER, format!("{seconds} {leader}")).output().expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let count = text.lines().find_map(|line| line.split("packets sent: ").nth(1)?.trim().parse().ok());
    count.unwrap_or_else(|| panic!("{output:?}"))
}

/// Sends, in the process that [`send_from`] started; does nothing elsewhere.
pub fn send_if_ordered() -> std::io::Result<()> {
    let Ok(order) = std::env::var(ORDER) else { return Ok(()) };
    let mut words = order.split(' ');
    let seconds = words.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let leader = words.next().and_then(|text| u64::from_str_radix(text, 16).ok());
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let start = Instant::now();
    let mut sent = 0_u64;
    while start.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..100 {
            let (packet, event) = spoil(&mut random, leader);
            let port = if event ^ random.next().is_multiple_of(16) { 319 } else { 320 };
            sent += u64::from(socket.send_to(&packet, (Ipv4Addr::new(224, 0, 1, 129), port)).is_ok());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("packets sent: {sent}");
    Ok(())
}

/// One packet, and whether it belongs on the event port.
pub fn spoil(random: &mut Random, leader: Option<u64>) -> (Vec<u8>, bool) {
    let (kind, length) = KINDS[(random.next() % KINDS.len() as u64) as usize];
    let mut packet = vec![0_u8; length];
    packet[0] = kind;
    packet[1] = 2;
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    // An Announce in the leader's name is the leader's as far as PTP can tell; all else can be told.
    let source =
        leader.filter(|_| kind != 0x0b && random.next().is_multiple_of(4)).unwrap_or_else(|| random.next());
    packet[20..28].copy_from_slice(&source.to_be_bytes());
    packet[29] = 1;
    packet[30..32].copy_from_slice(&(random.next() as u16).to_be_bytes());
    match random.next() % 8 {
        0 => packet.truncate((random.next() % (length as u64 + 1)) as usize),
        1 => packet[2] ^= random.next() as u8,
        2 => packet.resize(length + (random.next() % 1400) as usize, 0xff),
        3 => packet[1] = random.next() as u8,
        4 => packet[8..16].copy_from_slice(&random.next().to_be_bytes()), // an absurd correction
        5 => packet[33] = random.next() as u8,
        _ => {
            // a timestamp of any time, and what else is in the body
            for octet in packet.iter_mut().skip(34) {
                *octet = random.next() as u8;
            }
            // An Announce must not win the election: worse than everybody, that is what is tried here.
            if let Some(priority1) = packet.get_mut(47).filter(|_| kind == 0x0b) {
                *priority1 = 255;
            }
        }
    }
    (packet, kind < 8)
}

/// A generator for [`spoil`].
pub fn random() -> Random {
    Random(0x1234_5678_9abc_def1)
}
