use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// What sessions (streams) are found by.
pub const SESSION_TYPE: &str = "_ravenna_session._sub._rtsp._tcp.local.";
/// What RTSP servers of nodes are found by.
pub const DEVICE_TYPE: &str = "_ravenna._sub._rtsp._tcp.local.";
/// What web pages of nodes are found by.
pub const WEB_DEVICE_TYPE: &str = "_ravenna._sub._http._tcp.local.";
/// The service type that instance names end in.
pub const RTSP_TYPE: &str = "_rtsp._tcp.local.";
/// Octets of the longest instance name: one DNS label (RFC 6763 §4.1.1).
pub const MAX_INSTANCE: usize = 63;

/// A DNS-SD instance name: 1 to 63 octets of UTF-8 without control characters (RFC 6763 §4.1.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName(String);

impl InstanceName {
    /// Takes `text` as it is; `None` when it cannot be one.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=MAX_INSTANCE).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// The name of session `stream` of node `device`, "Device Stream", shortened at the end to what a label holds;
    /// `None` when nothing printable is left.
    pub fn of_session(device: &str, stream: &str) -> Option<Self> {
        let words = [device, stream].map(|text| {
            let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            printable.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        let mut name = words.join(" ").trim().to_owned();
        while name.len() > MAX_INSTANCE {
            name.pop();
        }
        Self::new(name.trim_end())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Another name for the same when this one is taken (RFC 6762 §9): "Name (2)" and so on, shortened before that.
    #[must_use]
    pub fn another(&self, number: u32) -> Self {
        let suffix = alloc::format!(" ({number})");
        let mut name = self.0.clone();
        while name.len() + suffix.len() > MAX_INSTANCE {
            name.pop();
        }
        Self(name + &suffix)
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The instance in the full name of a service of type [`RTSP_TYPE`], its escapes (`\032`, `\.`, `\\`) undone;
/// `None` when it is another type's or no instance name. Case of the type does not matter.
pub fn instance_of(full_name: &str) -> Option<InstanceName> {
    let at = full_name.len().checked_sub(RTSP_TYPE.len())?;
    let (label, kind) = full_name.split_at_checked(at)?;
    let label = label.strip_suffix('.').filter(|_| kind.eq_ignore_ascii_case(RTSP_TYPE))?;
    InstanceName::new(&unescape(label)?)
}

/// The instance in the full name of a service of type [`RTSP_TYPE`] whose first label is as it was on the wire: dots and
/// backslashes are its own; `None` when it is another type's or no instance name. Case of the type does not matter.
pub fn instance_on_wire(full_name: &str) -> Option<InstanceName> {
    let at = full_name.len().checked_sub(RTSP_TYPE.len())?;
    let (label, kind) = full_name.split_at_checked(at)?;
    InstanceName::new(label.strip_suffix('.').filter(|_| kind.eq_ignore_ascii_case(RTSP_TYPE))?)
}

/// Undoes the escapes of one label (RFC 1035 §5.1); `None` when they are broken or it is more than one label.
fn unescape(label: &str) -> Option<String> {
    let mut octets: Vec<u8> = Vec::with_capacity(label.len());
    let mut chars = label.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                high if high.is_ascii_digit() => {
                    let number: String = [high, chars.next()?, chars.next()?].iter().collect();
                    octets.push(number.parse().ok()?);
                }
                other => octets.extend_from_slice(other.to_string().as_bytes()),
            },
            '.' => return None,
            c => octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_full_names_are_undone() {
        let long = "x".repeat(64) + "._rtsp._tcp.local.";
        for (full, instance) in [
            (r"Desk\032L\058\0321._rtsp._tcp.local.", Some("Desk L: 1")),
            (r"a\.b\\c._RTSP._tcp.local.", Some(r"a.b\c")),
            (r"\195\156ber._rtsp._tcp.local.", Some("Über")),
            ("Mixer (2)._rtsp._tcp.local.", Some("Mixer (2)")),
            (r"\195._rtsp._tcp.local.", None),
            (r"\999._rtsp._tcp.local.", None),
            (r"a\027b._rtsp._tcp.local.", None),
            ("a.b._rtsp._tcp.local.", None),
            ("a._http._tcp.local.", None),
            ("._rtsp._tcp.local.", None),
            ("_rtsp._tcp.local.", None),
            (&long, None),
            ("", None),
        ] {
            assert_eq!(instance_of(full).as_ref().map(InstanceName::as_str), instance, "{full}");
        }
    }

    #[test]
    fn names_on_the_wire_are_taken_as_they_are() {
        let long = "x".repeat(64) + "._rtsp._tcp.local.";
        for (full, instance) in [
            ("Mixer 2.0._rtsp._tcp.local.", Some("Mixer 2.0")),
            (r"C:\032 A\B._RTSP._tcp.local.", Some(r"C:\032 A\B")),
            ("Über..._rtsp._tcp.local.", Some("Über..")),
            ("a._http._tcp.local.", None),
            ("._rtsp._tcp.local.", None),
            ("_rtsp._tcp.local.", None),
            (&long, None),
            ("", None),
        ] {
            assert_eq!(instance_on_wire(full).as_ref().map(InstanceName::as_str), instance, "{full}");
        }
    }

    #[test]
    fn names_of_ours_fit_into_a_label() {
        let name = |device: &str, stream: &str| InstanceName::of_session(device, stream).map(|name| name.0);
        assert_eq!(name("studio", "Drums"), Some("studio Drums".into()));
        assert_eq!(name("", " Dr\u{7}ums\n"), Some("Dr ums".into()));
        assert_eq!(name(" ", "\r\n"), None);
        let long = InstanceName::of_session("studio", &"ü".repeat(60)).expect("has characters");
        assert_eq!(long.as_str().len(), 63);
        assert_eq!(long.another(12).as_str().len(), 62);
        assert!(long.another(12).as_str().ends_with("ü (12)"));
    }
}
