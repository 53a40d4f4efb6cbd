use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::{BASE, Code, Fault, MAX_BODY, Source};
use crate::clean_device_name;

/// What a controller asks of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `GET /device`
    Device,
    /// `PATCH /device`: call it this.
    Rename(String),
    /// `GET /streams`
    Streams,
    /// `GET /streams/{id}/sdp`
    Description(String),
    /// `GET /inputs/{id}`
    Input(String),
    /// `PUT /inputs/{id}/source`
    Play {
        /// Id of the input.
        input: String,
        /// What it shall play.
        source: Source,
    },
    /// `DELETE /inputs/{id}/source`
    Stop(String),
}

/// A request as HTTP carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `PUT`, `DELETE`, `PATCH`.
    pub method: &'static str,
    /// With the leading slash.
    pub path: String,
    /// JSON; empty without.
    pub body: String,
}

/// An answer as HTTP carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Media type; empty without a body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct NewName {
    name: String,
}

impl Request {
    /// Reads what came by HTTP. `origin` and `host` are the headers of these names: a page of another site that a
    /// browser shows has an origin that is not the device, and is refused.
    pub fn parse(
        method: &str,
        path: &str,
        origin: Option<&str>,
        host: Option<&str>,
        body: &[u8],
    ) -> Result<Self, Fault> {
        if let Some(origin) = origin
            && origin.strip_prefix("http://").is_none_or(|origin| Some(origin) != host)
        {
            return Err(Fault::new(Code::Policy, "pages of other sites may not control this device"));
        }
        if body.len() > MAX_BODY {
            return Err(Fault::new(Code::Format, "the body is longer than 4096 octets"));
        }
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let nowhere = || Fault::new(Code::NotFound, "there is nothing of this path and method");
        let rest = path.strip_prefix(BASE).and_then(|rest| rest.strip_prefix('/')).ok_or_else(nowhere)?;
        let of = |kind: &str, end: &str| {
            let id = rest.strip_prefix(kind)?.strip_prefix('/')?.strip_suffix(end)?;
            decode(id).filter(|id| !id.is_empty())
        };
        match (method, rest) {
            ("GET", "device") => Ok(Self::Device),
            ("PATCH", "device") => {
                let NewName { name } = json(body)?;
                let name = clean_device_name(&name);
                name.map(Self::Rename).ok_or_else(|| Fault::new(Code::Format, "the name is empty"))
            }
            ("GET", "streams") => Ok(Self::Streams),
            ("GET", _) => {
                let description = of("streams", "/sdp").map(Self::Description);
                description.or_else(|| of("inputs", "").map(Self::Input)).ok_or_else(nowhere)
            }
            ("PUT", _) => {
                let input = of("inputs", "/source").ok_or_else(nowhere)?;
                Ok(Self::Play { input, source: json(body)? })
            }
            ("DELETE", _) => of("inputs", "/source").map(Self::Stop).ok_or_else(nowhere),
            _ => Err(nowhere()),
        }
    }

    /// The same as HTTP carries it.
    pub fn call(&self) -> Call {
        let call = |method, path: String, body| Call { method, path: format!("{BASE}/{path}"), body };
        let text = |value: serde_json::Result<String>| value.unwrap_or_default();
        match self {
            Self::Device => call("GET", "device".to_string(), String::new()),
            Self::Rename(name) => {
                let body = serde_json::to_string(&NewName { name: name.clone() });
                call("PATCH", "device".to_string(), text(body))
            }
            Self::Streams => call("GET", "streams".to_string(), String::new()),
            Self::Description(id) => call("GET", format!("streams/{}/sdp", encode(id)), String::new()),
            Self::Input(id) => call("GET", format!("inputs/{}", encode(id)), String::new()),
            Self::Play { input, source } => {
                call("PUT", format!("inputs/{}/source", encode(input)), text(serde_json::to_string(source)))
            }
            Self::Stop(id) => call("DELETE", format!("inputs/{}/source", encode(id)), String::new()),
        }
    }
}

impl Reply {
    /// `value` with this status.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status, content_type: "application/json", body },
            Err(_) => Self { status: 500, content_type: "", body: Vec::new() },
        }
    }

    /// A description.
    pub fn description(text: &str) -> Self {
        Self { status: 200, content_type: "application/sdp", body: text.as_bytes().to_vec() }
    }

    /// Done, and nothing to say.
    pub const fn nothing() -> Self {
        Self { status: 204, content_type: "", body: Vec::new() }
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        Self::json(fault.error.status(), &fault)
    }
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::new(Code::Format, &error.to_string()))
}

/// Ids hold slashes; in a path they are `%2F`, and whatever else is no plain character is encoded likewise.
fn encode(id: &str) -> String {
    let mut path = String::new();
    for octet in id.bytes() {
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'~') {
            path.push(char::from(octet));
        } else {
            path.push_str(&format!("%{octet:02X}"));
        }
    }
    path
}

/// Slashes that are not encoded stay what they are; `None` for what is no text.
fn decode(path: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = path.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        octets.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
    }
    String::from_utf8(octets).ok()
}
