use alloc::{borrow::ToOwned, string::String};
use core::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// There is no such thing.
    NotFound,
    /// The device is full.
    NoCapacity,
    /// It makes no sense.
    Format,
    /// The other end does not answer.
    Unreachable,
    /// Not now, or taken.
    Busy,
    /// It is not allowed.
    Policy,
}

impl Code {
    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::NoCapacity => 507,
            Self::Format => 400,
            Self::Unreachable => 504,
            Self::Busy => 409,
            Self::Policy => 403,
        }
    }
}

/// Body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The word.
    pub error: Code,
    /// A sentence for people.
    #[serde(default)]
    pub detail: String,
}

impl Fault {
    /// `error` with a sentence.
    pub fn new(error: Code, detail: &str) -> Self {
        Self { error, detail: detail.to_owned() }
    }
}

impl core::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
