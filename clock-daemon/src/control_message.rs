//! What comes beside a datagram: time stamps, and which sent message they belong to (recvmsg(2), cmsg(3)).

/// The time stamps of one message, in nanoseconds of their own clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamps {
    /// The kernel's, in CLOCK_REALTIME.
    pub software: Option<i64>,
    /// The card's, in the time of its PHC.
    pub hardware: Option<i64>,
}

const LENGTH_BYTES: usize = size_of::<usize>();
const HEADER_BYTES: usize = LENGTH_BYTES + 8;
/// `SO_EE_ORIGIN_TIMESTAMPING` (linux/errqueue.h).
const ORIGIN_TIMESTAMPING: u8 = 4;

/// The time stamps in `control` (SCM_TIMESTAMPING: software, nothing, hardware).
pub fn stamps(control: &[u8]) -> Stamps {
    for (level, kind, data) in messages(control) {
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) {
            return Stamps { software: timespec(data, 0), hardware: timespec(data, 2) };
        }
    }
    Stamps::default()
}

/// The number of the sent message that an entry of the error queue is about; `None` for other errors.
pub fn departure_id(control: &[u8]) -> Option<u32> {
    let (.., error) =
        messages(control).find(|(level, kind, _)| (*level, *kind) == (libc::SOL_IP, libc::IP_RECVERR))?;
    // struct sock_extended_err: errno, origin, type, code, pad, info, data
    let is_stamp = error.get(4) == Some(&ORIGIN_TIMESTAMPING) && word(error, 8)? == 0;
    if is_stamp { word(error, 12) } else { None }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// The `index`th struct timespec; zero means that there is none.
fn timespec(data: &[u8], index: usize) -> Option<i64> {
    let field = |at: usize| data.get(at..)?.first_chunk().copied().map(i64::from_ne_bytes);
    let (seconds, nanos) = (field(index * 16)?, field(index * 16 + 8)?);
    let time = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    (time != 0).then_some(time)
}

/// Level, type and data of each message; stops at the first that lies about its length.
fn messages(mut control: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from_ne_bytes(*control.first_chunk()?);
        let level = word(control, LENGTH_BYTES)?.cast_signed();
        let kind = word(control, LENGTH_BYTES + 4)?.cast_signed();
        let data = control.get(HEADER_BYTES..length)?;
        let next = length.checked_next_multiple_of(LENGTH_BYTES)?;
        control = control.get(next..).unwrap_or_default();
        Some((level, kind, data))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER_BYTES + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(LENGTH_BYTES), 0);
        bytes
    }

    fn times(seconds: [i64; 3]) -> Vec<u8> {
        seconds.iter().flat_map(|second| [second.to_ne_bytes(), 7_i64.to_ne_bytes()].concat()).collect()
    }

    #[test]
    fn stamps_and_number_of_a_sent_message_are_found() {
        let mut control = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &times([5, 0, 9]));
        let mut error = [0_u8; 20];
        error[4] = ORIGIN_TIMESTAMPING;
        error[12..16].copy_from_slice(&77_u32.to_ne_bytes());
        control.extend(message(libc::SOL_IP, libc::IP_RECVERR, &error));
        assert_eq!(stamps(&control), Stamps { software: Some(5_000_000_007), hardware: Some(9_000_000_007) });
        assert_eq!(departure_id(&control), Some(77));
        // an ICMP error is not about a departure
        error[4] = 2;
        assert_eq!(departure_id(&message(libc::SOL_IP, libc::IP_RECVERR, &error)), None);
    }

    #[test]
    fn absent_stamps_are_absent() {
        let zero = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &[0; 48]);
        assert_eq!(stamps(&zero), Stamps::default());
        assert_eq!(stamps(&[]), Stamps::default());
    }

    #[test]
    fn messages_that_lie_about_their_length_end_the_list() {
        let good = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &times([5, 0, 0]));
        for length in [0, 1, HEADER_BYTES - 1, good.len() + 1, usize::MAX] {
            let mut control = good.clone();
            control[..LENGTH_BYTES].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(stamps(&control), Stamps::default(), "length {length}");
        }
        for cut in 0..good.len() {
            assert_eq!(stamps(&good[..cut]), Stamps::default(), "cut to {cut}");
        }
    }
}
