use wireloom_dbus::Error;
use zbus::message::{Header, Message};
use zbus::names::ErrorName;
use zbus::{DBusError, fdo};

use crate::request::Refused;

/// Why a call is refused: one of the contract's errors, or a standard one under its standard name.
#[derive(Debug)]
pub enum Fault {
    Ours(Error),
    Standard(fdo::Error),
}

impl Fault {
    /// `org.freedesktop.DBus.Error.InvalidArgs` with a sentence that names the offending value.
    pub fn invalid_args(text: impl Into<String>) -> Self {
        Self::Standard(fdo::Error::InvalidArgs(text.into()))
    }
}

impl DBusError for Fault {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        match self {
            Self::Ours(error) => error.create_reply(call),
            Self::Standard(error) => error.create_reply(call),
        }
    }

    fn name(&self) -> ErrorName<'_> {
        match self {
            Self::Ours(error) => error.name(),
            Self::Standard(error) => error.name(),
        }
    }

    fn description(&self) -> Option<&str> {
        match self {
            Self::Ours(error) => error.description(),
            Self::Standard(error) => error.description(),
        }
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Ours(match refused {
            Refused::Invalid(text) => return Self::invalid_args(text),
            Refused::NotReady(text) => Error::NotReady(text),
            Refused::NotFound(text) => Error::NotFound(text),
            Refused::InProgress(text) => Error::InProgress(text),
            Refused::Mismatch(text) => Error::FormatMismatch(text),
            Refused::Conflict(text) => Error::AddressConflict(text),
            Refused::NotPossible(text) => Error::NotSupported(text),
            Refused::Limit(text) => Error::NoBandwidth(text),
        })
    }
}
