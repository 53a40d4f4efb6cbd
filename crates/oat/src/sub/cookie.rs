use core::net::{Ipv4Addr, SocketAddrV4};

use siphasher::sip::SipHasher24;
use wireloom_units::Nanos;

/// Makes and knows cookies without remembering any: a keyed hash of who asks for what, and when.
#[derive(Clone)]
pub(super) struct Baker {
    hasher: SipHasher24,
}

impl Baker {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(key) }
    }

    /// The cookie of `from`, who wants `stream` at its port `port`, at uptime `now`. Never 0.
    pub(super) fn bake(&self, now: Nanos, from: SocketAddrV4, port: u16, stream: u32) -> u64 {
        self.of_epoch(epoch(now), from, port, stream)
    }

    /// Whether `cookie` is one of this or the last 64 s.
    pub(super) fn knows(&self, cookie: u64, now: Nanos, from: SocketAddrV4, port: u16, stream: u32) -> bool {
        let present = epoch(now);
        let is_of = |epoch| self.of_epoch(epoch, from, port, stream) == cookie;
        is_of(present) || present.checked_sub(1).is_some_and(is_of)
    }

    fn of_epoch(&self, epoch: u64, from: SocketAddrV4, port: u16, stream: u32) -> u64 {
        let mut octets = [0; 20];
        let ip: Ipv4Addr = *from.ip();
        let fields: [&[u8]; 5] = [
            &ip.octets(),
            &from.port().to_be_bytes(),
            &port.to_be_bytes(),
            &stream.to_be_bytes(),
            &epoch.to_be_bytes(),
        ];
        octets.iter_mut().zip(fields.into_iter().flatten()).for_each(|(octet, value)| *octet = *value);
        self.hasher.hash(&octets).max(1)
    }
}

/// The key stays out of every log.
impl core::fmt::Debug for Baker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Baker")
    }
}

fn epoch(uptime: Nanos) -> u64 {
    uptime.0 / EPOCH.0
}

const EPOCH: Nanos = Nanos::from_secs(64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_own_question_and_two_epochs() {
        let baker = Baker::new(&[7; 16]);
        let from = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5000);
        let cookie = baker.bake(Nanos::from_secs(70), from, 50_064, 3);
        let good =
            |seconds, from, port, stream| baker.knows(cookie, Nanos::from_secs(seconds), from, port, stream);
        assert!(good(64, from, 50_064, 3) && good(191, from, 50_064, 3));
        assert!(!good(192, from, 50_064, 3) && !good(63, from, 50_064, 3));
        assert!(!good(70, from, 50_065, 3) && !good(70, from, 50_064, 4));
        let other = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 5000);
        let elsewhere = SocketAddrV4::new(*from.ip(), 5001);
        assert!(!good(70, other, 50_064, 3) && !good(70, elsewhere, 50_064, 3));
        assert!(!Baker::new(&[8; 16]).knows(cookie, Nanos::from_secs(70), from, 50_064, 3));
    }
}
