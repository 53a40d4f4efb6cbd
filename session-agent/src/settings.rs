//! What a user can set: its range, its default, and its words. One table serves configuration, bus and `Describe`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::json;

/// Where nodes show themselves (DESIGN section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Auto,
    Desktop,
    Patchbay,
}

impl Show {
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "desktop" => Some(Self::Desktop),
            "patchbay" => Some(Self::Patchbay),
            _ => None,
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Desktop => "desktop",
            Self::Patchbay => "patchbay",
        }
    }
}

/// Where automatic multicast addresses come from: a prefix inside 239.0.0.0/8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    base: u32,
    bits: u32,
}

impl Pool {
    /// Reads "239.69.0.0/16": prefix of 8 to 28 bits, host bits zero.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (base, bits) = (u32::from(address.parse::<Ipv4Addr>().ok()?), bits.parse::<u32>().ok()?);
        let fits = (8..=28).contains(&bits) && base >> 24 == 239 && base & (u32::MAX >> bits) == 0;
        fits.then_some(Self { base, bits })
    }

    /// How many addresses it has.
    pub const fn size(self) -> u32 {
        1 << (32 - self.bits)
    }

    /// Address number `index`, counted modulo the size; `None` for one that ends in 0 or 255.
    pub fn address(self, index: u32) -> Option<Ipv4Addr> {
        let address = Ipv4Addr::from(self.base | (index % self.size()));
        (!matches!(address.octets()[3], 0 | 255)).then_some(address)
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.bits)
    }
}

/// The settings in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub network_interfaces: Vec<String>,
    pub node_limit: u32,
    pub show: Show,
    pub latency_frames: u32,
    pub address_pool: Pool,
    /// Configuration only: the page of wireloom-clock.
    pub clock_page: PathBuf,
    /// Configuration only: the PTPv2 domain that streams are compared with; the best line decides when absent.
    pub clock_domain: Option<u8>,
    /// Configuration only: sessions are found and published as RAVENNA does (DNS-SD, RTSP).
    pub ravenna: bool,
    /// Configuration only: on these of the interfaces in use; empty: on every one.
    pub ravenna_interfaces: Vec<String>,
    /// Configuration only: TCP port of our RTSP server.
    pub rtsp_port: u16,
    /// Configuration only: the clock is served to programs that know the usrvclock protocol.
    pub usrvclock_export: bool,
    /// Configuration only: where.
    pub usrvclock_path: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            network_interfaces: Vec::new(),
            node_limit: 128,
            show: Show::Auto,
            latency_frames: 144,
            address_pool: Pool { base: u32::from(Ipv4Addr::new(239, 69, 0, 0)), bits: 16 },
            clock_page: PathBuf::from("/run/wireloom/clock"),
            clock_domain: None,
            ravenna: true,
            ravenna_interfaces: Vec::new(),
            rtsp_port: 8854, // what the other RAVENNA sender for Linux uses
            usrvclock_export: false,
            usrvclock_path: PathBuf::from("/tmp/ptp-usrvclock"), // where Inferno looks
        }
    }
}

/// Keys of the configuration file, in the order of `--check-config`.
pub const KEYS: [&str; 12] = [
    "network-interfaces",
    "node-limit",
    "show",
    "latency-frames",
    "address-pool",
    "clock-page",
    "clock-domain",
    "ravenna",
    "ravenna-interfaces",
    "rtsp-port",
    "usrvclock-export",
    "usrvclock-path",
];

impl Settings {
    /// Sets `key`; an error says in words what the value must be.
    pub fn set(&mut self, key: &str, value: &toml::Value) -> Result<(), String> {
        let number = |least: u32, most: u32| {
            let number = value.as_integer().and_then(|n| u32::try_from(n).ok());
            let number = number.filter(|n| (least..=most).contains(n));
            number.ok_or_else(|| format!("must be a number from {least} to {most}"))
        };
        let text = || value.as_str().ok_or_else(|| "must be a text".to_owned());
        let switch = || value.as_bool().ok_or("must be true or false");
        let interfaces = || {
            let names = value.as_array().and_then(|names| {
                names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            });
            checked_interfaces(names.ok_or("must be a list of names")?)
        };
        match key {
            "network-interfaces" => self.network_interfaces = interfaces()?,
            "node-limit" => self.node_limit = number(0, 1024)?,
            "show" => self.show = Show::parse(text()?).ok_or("must be auto, desktop or patchbay")?,
            "latency-frames" => self.latency_frames = number(16, 48_000)?,
            "address-pool" => {
                self.address_pool = Pool::parse(text()?).ok_or(
                    "must be an IPv4 prefix of 8 to 28 bits inside 239.0.0.0/8, as in 239.69.0.0/16",
                )?;
            }
            "clock-page" => self.clock_page = PathBuf::from(text()?),
            "clock-domain" => {
                self.clock_domain = Some(u8::try_from(number(0, 127)?).unwrap_or(0)); // in range, one line up
            }
            "ravenna" => self.ravenna = switch()?,
            "ravenna-interfaces" => self.ravenna_interfaces = interfaces()?,
            "rtsp-port" => {
                self.rtsp_port = u16::try_from(number(1, 65_535)?).unwrap_or(8854); // in range, as just checked
            }
            "usrvclock-export" => self.usrvclock_export = switch()?,
            "usrvclock-path" => self.usrvclock_path = PathBuf::from(text()?),
            _ => return Err("is not a setting".to_owned()),
        }
        Ok(())
    }

    /// The value of `key` as it would be written in a configuration file; `None` when it has none.
    pub fn value(&self, key: &str) -> Option<toml::Value> {
        Some(match key {
            "network-interfaces" => self.network_interfaces.clone().into(),
            "node-limit" => i64::from(self.node_limit).into(),
            "show" => self.show.word().into(),
            "latency-frames" => i64::from(self.latency_frames).into(),
            "address-pool" => self.address_pool.to_string().into(),
            "clock-page" => self.clock_page.display().to_string().into(),
            "clock-domain" => i64::from(self.clock_domain?).into(),
            "ravenna" => self.ravenna.into(),
            "ravenna-interfaces" => self.ravenna_interfaces.clone().into(),
            "rtsp-port" => i64::from(self.rtsp_port).into(),
            "usrvclock-export" => self.usrvclock_export.into(),
            "usrvclock-path" => self.usrvclock_path.display().to_string().into(),
            _ => return None,
        })
    }
}

fn checked_interfaces(names: Vec<String>) -> Result<Vec<String>, String> {
    if names.len() > 32 {
        return Err(format!("must name at most 32 interfaces, not {}", names.len()));
    }
    if let Some(name) = names.iter().find(|name| !(1..=15).contains(&name.len()) || name.contains('/')) {
        return Err(format!("cannot contain {name:?}: a name has 1 to 15 bytes and no slash"));
    }
    Ok(names)
}

/// Type, range, default and meaning of every setting of the Manager, for `Describe`.
pub fn description() -> serde_json::Value {
    json!({
        "network-interfaces": {"type": "as", "range": "at most 32 names", "default": [],
            "description": "Interfaces used for announcements; empty: every one that can."},
        "node-limit": {"type": "u", "range": "0-1024", "default": 128,
            "description": "How many streams become nodes at most."},
        "show": {"type": "s", "range": "auto, desktop, patchbay", "default": "auto",
            "description": "Where nodes show themselves."},
        "latency-frames": {"type": "u", "range": "16-48000", "default": 144,
            "description": "Latency class of received streams."},
        "address-pool": {"type": "s", "range": "inside 239.0.0.0/8, 8 to 28 bits", "default": "239.69.0.0/16",
            "description": "Where automatic multicast addresses come from."},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_outside_the_scoped_range_are_refused() {
        for text in ["239.69.0.0", "224.0.0.0/8", "239.69.0.1/16", "239.69.0.0/29", "239.0.0.0/7", "x/8", ""]
        {
            assert_eq!(Pool::parse(text), None, "{text}");
        }
        let pool = Pool::parse("239.69.0.0/24").expect("valid");
        assert_eq!(pool.address(1), Some(Ipv4Addr::new(239, 69, 0, 1)));
        assert_eq!((pool.address(0), pool.address(255), pool.address(256)), (None, None, None));
        assert_eq!(pool.to_string(), "239.69.0.0/24");
    }

    #[test]
    fn every_key_can_be_written_back() {
        let mut settings = Settings { clock_domain: Some(3), ..Settings::default() };
        let before = settings.clone();
        for key in KEYS {
            settings.set(key, &before.value(key).expect("has a value")).expect("its own value is valid");
        }
        assert_eq!(settings, before);
    }

    #[test]
    fn values_out_of_range_change_nothing_and_say_why() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("node-limit", &2000.into()), Err("must be a number from 0 to 1024".into()));
        assert_eq!(settings.set("show", &"hidden".into()), Err("must be auto, desktop or patchbay".into()));
        assert_eq!(settings.set("colour", &"red".into()), Err("is not a setting".into()));
        let names = vec!["a-name-that-is-too-long"];
        assert!(settings.set("network-interfaces", &names.into()).is_err());
        assert_eq!(settings, Settings::default());
    }
}
