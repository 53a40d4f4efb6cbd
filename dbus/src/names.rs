use std::fmt::Write as _;

/// The well-known name of the agent on the session bus.
pub const BUS_NAME: &str = "org.wireloom.Wireloom1";
/// Path of the Manager; every other object lies below it.
pub const ROOT_PATH: &str = "/org/wireloom/Wireloom1";

/// Every interface of the contract with its XML, as installed in `share/dbus-1/interfaces`.
pub const CONTRACT: &[(&str, &str)] = &[
    ("org.wireloom.Wireloom1.Manager", include_str!("../org.wireloom.Wireloom1.Manager.xml")),
    ("org.wireloom.Wireloom1.Interface", include_str!("../org.wireloom.Wireloom1.Interface.xml")),
    ("org.wireloom.Wireloom1.Clock", include_str!("../org.wireloom.Wireloom1.Clock.xml")),
    ("org.wireloom.Wireloom1.Device", include_str!("../org.wireloom.Wireloom1.Device.xml")),
    ("org.wireloom.Wireloom1.Stream", include_str!("../org.wireloom.Wireloom1.Stream.xml")),
    (
        "org.wireloom.Wireloom1.Stream.Statistics",
        include_str!("../org.wireloom.Wireloom1.Stream.Statistics.xml"),
    ),
    ("org.wireloom.Wireloom1.Route", include_str!("../org.wireloom.Wireloom1.Route.xml")),
    ("org.wireloom.Wireloom1.Checkpoint", include_str!("../org.wireloom.Wireloom1.Checkpoint.xml")),
    ("org.wireloom.Wireloom1.Job", include_str!("../org.wireloom.Wireloom1.Job.xml")),
];

/// The object path of `id` under `kind` ("stream", "device", "clock", "iface", "route", "checkpoint", "job").
///
/// ```
/// assert_eq!(wireloom_dbus::path("iface", "enp1s0.100"), "/org/wireloom/Wireloom1/iface/enp1s0_2e100");
/// ```
pub fn path(kind: &str, id: &str) -> String {
    format!("{ROOT_PATH}/{kind}/{}", element(id))
}

/// `id` as a path element: what is not `[A-Za-z0-9]`, and a leading digit, becomes `_` and two hexadecimal digits.
///
/// An empty id becomes `_`. Source: desktop-conventions 2.2 (systemd's scheme).
pub fn element(id: &str) -> String {
    if id.is_empty() {
        return "_".to_owned();
    }
    let mut text = String::with_capacity(id.len() + 8);
    for (position, byte) in id.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && position > 0) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "_{byte:02x}"); // writing to a String cannot fail
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_to_the_alphabet_of_paths() {
        for (id, expected) in [
            ("enp1s0.100", "enp1s0_2e100"),
            ("1a", "_31a"),
            ("s-4_1", "s_2d4_5f1"),
            ("é", "_c3_a9"),
            ("", "_"),
        ] {
            assert_eq!(element(id), expected);
            assert!(zbus::ObjectPath::try_from(path("stream", id)).is_ok());
        }
    }
}
