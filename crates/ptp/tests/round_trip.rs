//! Whatever a message says is read back the same after it was written.

use proptest::prelude::*;
use wireloom_ptp::PortIdentity;
use wireloom_ptp::v2::{
    Announce, Body, ClockQuality, Correction, Flags, Header, Management, Message, Timestamp, Tlvs,
};
use wireloom_units::{ClockIdentity, TaiTime};

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (0..1_u64 << 48, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| Timestamp::new(seconds, nanos).expect("in range"))
}

fn identity() -> impl Strategy<Value = PortIdentity> {
    (any::<[u8; 8]>(), any::<u16>())
        .prop_map(|(clock, port)| PortIdentity { clock: ClockIdentity(clock), port })
}

fn header() -> impl Strategy<Value = Header> {
    let first = (0..16_u8, 0..16_u8, any::<u8>(), any::<u8>(), any::<u16>(), any::<i64>());
    let second = (any::<u32>(), identity(), any::<u16>(), any::<u8>(), any::<i8>());
    (first, second).prop_map(|(first, second)| Header {
        major_sdo: first.0,
        minor_version: first.1,
        domain: first.2,
        minor_sdo: first.3,
        flags: Flags(first.4),
        correction: Correction::from_wire(first.5),
        type_specific: second.0,
        source: second.1,
        sequence: second.2,
        control: second.3,
        log_interval: second.4,
    })
}

fn announce() -> impl Strategy<Value = Body> {
    let quality = (any::<u8>(), any::<u8>(), any::<u16>())
        .prop_map(|(class, accuracy, variance)| ClockQuality { class, accuracy, variance });
    let first = (timestamp(), any::<i16>(), any::<u8>(), any::<u8>(), quality);
    let second = (any::<u8>(), any::<[u8; 8]>(), any::<u16>(), any::<u8>());
    (first, second).prop_map(|(first, second)| {
        Body::Announce(Announce {
            origin: first.0,
            utc_offset: first.1,
            reserved: first.2,
            priority1: first.3,
            quality: first.4,
            priority2: second.0,
            grandmaster: ClockIdentity(second.1),
            steps_removed: second.2,
            time_source: second.3,
        })
    })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        timestamp().prop_map(|origin| Body::Sync { origin }),
        timestamp().prop_map(|origin| Body::DelayReq { origin }),
        timestamp().prop_map(|origin| Body::FollowUp { origin }),
        (timestamp(), any::<[u8; 10]>()).prop_map(|(origin, reserved)| Body::PdelayReq { origin, reserved }),
        (timestamp(), identity()).prop_map(|(receipt, requester)| Body::PdelayResp { receipt, requester }),
        (timestamp(), identity()).prop_map(|(receipt, requester)| Body::DelayResp { receipt, requester }),
        (timestamp(), identity())
            .prop_map(|(origin, requester)| Body::PdelayRespFollowUp { origin, requester }),
        announce(),
        identity().prop_map(|target| Body::Signaling { target }),
        (identity(), any::<[u8; 4]>()).prop_map(|(target, [starting_hops, hops, action, reserved])| {
            Body::Management(Management { target, starting_hops, hops, action, reserved })
        }),
    ]
}

fn suffix() -> impl Strategy<Value = Vec<u8>> {
    let tlv = (any::<u16>(), prop::collection::vec(any::<u8>(), 0..20));
    prop::collection::vec(tlv, 0..4).prop_map(|tlvs| {
        let tlv = |(kind, value): (u16, Vec<u8>)| {
            [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), &value].concat()
        };
        tlvs.into_iter().flat_map(tlv).collect()
    })
}

proptest! {
    #[test]
    fn written_messages_read_the_same(header in header(), body in body(), suffix in suffix(), padding in 0..20_usize) {
        let message = Message { header, body, tlvs: Tlvs::parse(&suffix).expect("whole TLVs") };
        let mut octets = vec![0; message.length() + padding];
        let length = message.emit(&mut octets).expect("it fits");
        prop_assert_eq!(length, message.length());
        prop_assert_eq!(Message::parse(&octets), Ok(message));
        prop_assert!(message.emit(&mut octets[..length - 1]).is_err());
    }

    #[test]
    fn timestamps_are_the_instants_they_say(nanos in 0..i64::MAX) {
        let time = TaiTime::from_nanos(nanos);
        prop_assert_eq!(Timestamp::from_tai(time).to_tai(), Some(time));
    }
}
