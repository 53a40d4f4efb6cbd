use core::{fmt, net::IpAddr, str::FromStr};

/// What a sender says of itself in `a=x-oat` (a proposal of this project): `1 sid=7 sub=udp ctl=http:80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// Number of the stream in subscriptions; 0 is the stream of the port that is asked.
    pub stream: u32,
    /// It answers subscriptions by datagram.
    pub subscription: bool,
    /// Where the device is controlled by HTTP.
    pub control_port: Option<u16>,
}

/// Why `a=x-oat` cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError {
    /// It does not begin with the version 1.
    Version,
    /// A parameter that is known has no value that makes sense.
    Value,
}

impl core::error::Error for OfferError {}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "x-oat is of a version other than 1",
            Self::Value => "a parameter of x-oat makes no sense",
        })
    }
}

impl FromStr for Offer {
    type Err = OfferError;

    /// Reads the attribute's value; parameters that are not known, and ways of asking that are not, are left out.
    fn from_str(text: &str) -> Result<Self, OfferError> {
        let mut fields = text.split_ascii_whitespace();
        if fields.next() != Some("1") {
            return Err(OfferError::Version);
        }
        let mut offer = Self::default();
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            match key {
                "sid" => offer.stream = value.parse().map_err(|_| OfferError::Value)?,
                "sub" => offer.subscription = value.split(',').any(|way| way == "udp"),
                "ctl" => {
                    let Some(port) = value.strip_prefix("http:") else { continue };
                    let port = port.parse().map_err(|_| OfferError::Value)?;
                    offer.control_port = Some(port).filter(|port| *port != 0);
                }
                _ => {}
            }
        }
        Ok(offer)
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 sid={}", self.stream)?;
        if self.subscription {
            f.write_str(" sub=udp")?;
        }
        match self.control_port {
            Some(port) => write!(f, " ctl=http:{port}"),
            None => Ok(()),
        }
    }
}

/// What the `c=` address of an announcement asks of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Join the group.
    Multicast,
    /// It is the sender's own address: subscribe there.
    Subscribe(IpAddr),
    /// It is sent to us: listen.
    Pushed,
    /// It is sent to somebody else.
    Elsewhere(IpAddr),
}

/// Reads `connection`, the `c=` address. `sender` are the addresses that the sender is known by: of `o=`, of the
/// announcement, of the datagram that brought it; `ours` are this computer's.
pub fn form(connection: IpAddr, sender: &[IpAddr], ours: &[IpAddr]) -> Form {
    if connection.is_multicast() {
        Form::Multicast
    } else if ours.contains(&connection) && !sender.contains(&connection) {
        Form::Pushed
    } else if sender.contains(&connection) {
        Form::Subscribe(connection)
    } else {
        Form::Elsewhere(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn offers_are_read_and_written() {
        let offer: Offer = "1 sid=1 sub=udp ctl=http:80".parse().expect("as in the proposal");
        assert_eq!(offer, Offer { stream: 1, subscription: true, control_port: Some(80) });
        assert_eq!(offer.to_string(), "1 sid=1 sub=udp ctl=http:80");
        assert_eq!("1".parse(), Ok(Offer::default()));
        assert_eq!(Offer::default().to_string().parse(), Ok(Offer::default()));
        let odd: Offer =
            "1  colour=red sub=tcp,udp ctl=coap:5 sid=4294967295".parse().expect("the rest is left out");
        assert_eq!(odd, Offer { stream: u32::MAX, subscription: true, control_port: None });
        assert_eq!("2 sid=1".parse::<Offer>(), Err(OfferError::Version));
        assert_eq!("".parse::<Offer>(), Err(OfferError::Version));
        assert_eq!("1 sid=-1".parse::<Offer>(), Err(OfferError::Value));
        assert_eq!("1 ctl=http:65536".parse::<Offer>(), Err(OfferError::Value));
    }

    #[test]
    fn the_address_says_what_to_do() {
        let [sender, proxy, ours, other] = [1, 2, 3, 4].map(|last| IpAddr::from([192, 0, 2, last]));
        let group = IpAddr::from([239, 69, 1, 1]);
        let form = |connection| form(connection, &[sender, proxy], &[ours]);
        assert_eq!(form(group), Form::Multicast);
        assert_eq!(form(sender), Form::Subscribe(sender));
        assert_eq!(form(proxy), Form::Subscribe(proxy));
        assert_eq!(form(ours), Form::Pushed);
        assert_eq!(form(other), Form::Elsewhere(other));
    }
}
