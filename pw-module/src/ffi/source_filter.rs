//! Which senders a media socket hears (RFC 4570), as a program that the kernel runs on each datagram (classic BPF).

use std::net::IpAddr;

use libc::sock_filter;
use wireloom_wanted::Leg;

/// The program for `leg`; empty when every sender is heard. Addresses of the other family than the leg's cannot be
/// senders and are passed over.
pub(super) fn program(leg: &Leg) -> Vec<sock_filter> {
    let of_family = |source: &&IpAddr| source.is_ipv4() == leg.address.is_ipv4();
    let mut program = Vec::new();
    for source in leg.excluded.iter().filter(of_family).take(Leg::MAX_EXCLUDED) {
        push_verdict(&mut program, *source, DROP);
    }
    let wanted = leg.source.as_ref().filter(of_family);
    if let Some(source) = wanted {
        push_verdict(&mut program, *source, TAKE);
    }
    if !program.is_empty() {
        program.push(step(RETURN, if wanted.is_some() { DROP } else { TAKE }, 0));
    }
    program
}

/// The program of a socket that only sends.
pub(super) const fn nothing() -> [sock_filter; 1] {
    [step(RETURN, DROP, 0)]
}

/// Datagrams of `source` end with `verdict`; others go on behind what is pushed.
fn push_verdict(program: &mut Vec<sock_filter>, source: IpAddr, verdict: u32) {
    let (at, octets) = match source {
        IpAddr::V4(v4) => (12, v4.octets().to_vec()),
        IpAddr::V6(v6) => (8, v6.octets().to_vec()),
    };
    let words =
        octets.chunks_exact(4).map(|word| word.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)));
    let count = octets.len() / 4;
    for (index, word) in words.enumerate() {
        // Behind this comparison: two steps for each word to come, and the verdict.
        let rest = 2 * (count - 1 - index) + 1;
        program.push(step(LOAD_WORD, NETWORK_HEADER + at + 4 * index as u32, 0));
        program.push(step(GO_ON_IF_EQUAL, word, rest as u8));
    }
    program.push(step(RETURN, verdict, 0));
}

/// One instruction; `otherwise` is how many to skip when a comparison fails.
const fn step(code: u16, k: u32, otherwise: u8) -> sock_filter {
    sock_filter { code, jt: 0, jf: otherwise, k }
}

// linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const GO_ON_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
/// What a program returns is how many octets pass.
const TAKE: u32 = u32::MAX;
const DROP: u32 = 0;
/// SKF_NET_OFF: offsets from here on count from the network header (linux/filter.h).
const NETWORK_HEADER: u32 = -0x10_0000_i32 as u32;

#[cfg(test)]
mod tests {
    use super::*;

    /// What `program` says of a datagram from `source`, by the rules of the kernel's machine.
    fn passes(program: &[sock_filter], source: &str) -> bool {
        let mut header = [0_u8; 40];
        match source.parse().expect("an address") {
            IpAddr::V4(v4) => header[12..16].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => header[8..24].copy_from_slice(&v6.octets()),
        }
        let (mut at, mut word) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD_WORD => {
                    let offset = (step.k - NETWORK_HEADER) as usize;
                    word = u32::from_be_bytes(header[offset..offset + 4].try_into().expect("four"));
                }
                GO_ON_IF_EQUAL => at += usize::from(if word == step.k { step.jt } else { step.jf }),
                RETURN => return step.k != 0,
                code => panic!("unknown code {code}"),
            }
        }
    }

    #[test]
    fn senders_are_told_apart_in_both_families() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut leg = Leg::to(ip("ff3e::1"), 5004);
        assert!(program(&leg).is_empty());
        leg.excluded = vec![ip("192.0.2.1")];
        assert!(program(&leg).is_empty(), "no sender to an IPv6 group has an IPv4 address");
        leg.excluded = vec![ip("2001:db8::1"), ip("2001:db8::2")];
        let filter = program(&leg);
        assert!(!passes(&filter, "2001:db8::1") && !passes(&filter, "2001:db8::2"));
        assert!(
            passes(&filter, "2001:db8::3")
                && passes(&filter, "2001:db9::1")
                && passes(&filter, "2001:db8:1::1")
        );
        leg.source = Some(ip("2001:db8::3"));
        let filter = program(&leg);
        assert!(
            passes(&filter, "2001:db8::3")
                && !passes(&filter, "2001:db8::2")
                && !passes(&filter, "2001:db8::4")
        );
        let leg = Leg { excluded: vec![ip("192.0.2.1")], ..Leg::to(ip("239.1.1.1"), 5004) };
        assert!(!passes(&program(&leg), "192.0.2.1") && passes(&program(&leg), "192.0.2.2"));
    }
}
