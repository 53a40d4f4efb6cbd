use std::fmt;

/// Why a command did not do what was asked, with the exit status that scripts rely on.
#[derive(Debug)]
pub enum Failure {
    /// It did not work: 1.
    Failed(String),
    /// It was asked wrongly: 2.
    Usage(String),
    /// There is no such thing: 3.
    NotFound(String),
    /// The agent does not answer: 4.
    NoAgent(String),
    /// It took too long: 124.
    Timeout(String),
}

impl Failure {
    /// What is not found is looked for in what `command` prints.
    pub fn see(self, command: &str) -> Self {
        match self {
            Self::NotFound(text) => Self::NotFound(format!("{text}; see: {command}")),
            other => other,
        }
    }

    pub const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::NoAgent(_) => 4,
            Self::Timeout(_) => 124,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Usage(text) | Self::NotFound(text) | Self::Timeout(text) => {
                f.write_str(text)
            }
            Self::NoAgent(why) => write!(
                f,
                "the Wireloom agent does not answer ({why}).\n\
                 Start it with:  systemctl --user start wireloom\n\
                 and see what it says with:  journalctl --user -u wireloom"
            ),
        }
    }
}

impl From<wireloom_dbus::Error> for Failure {
    fn from(error: wireloom_dbus::Error) -> Self {
        use wireloom_dbus::Error;
        match error {
            Error::NotFound(text) => Self::NotFound(text),
            Error::Timeout(text) => Self::Timeout(text),
            Error::NotReady(text) => Self::Failed(format!("not now: {text}")),
            Error::AddressConflict(text)
            | Error::NoBandwidth(text)
            | Error::FormatMismatch(text)
            | Error::NotSupported(text)
            | Error::InProgress(text)
            | Error::Failed(text) => Self::Failed(text),
            Error::ZBus(error) => error.into(),
            other => Self::Failed(described(&other)),
        }
    }
}

/// What the error says, without the name that it has on the bus.
fn described(error: &impl zbus::DBusError) -> String {
    error.description().map_or_else(|| error.name().to_string(), str::to_owned)
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        bus(&error)
    }
}

impl From<zbus::fdo::Error> for Failure {
    fn from(error: zbus::fdo::Error) -> Self {
        standard(&error)
    }
}

fn bus(error: &zbus::Error) -> Failure {
    let (name, text) = match error {
        zbus::Error::MethodError(name, text, _) => (name.as_str(), text.clone().unwrap_or_default()),
        zbus::Error::FDO(error) => return standard(error),
        other => return Failure::NoAgent(other.to_string()),
    };
    match name.rsplit('.').next() {
        Some("ServiceUnknown" | "NameHasNoOwner" | "NoReply" | "Disconnected") => Failure::NoAgent(text),
        _ if name.contains(".Spawn.") => Failure::NoAgent(text),
        Some("InvalidArgs") => Failure::Usage(text),
        Some("UnknownObject") => Failure::NotFound("it is gone".to_owned()),
        _ if text.is_empty() => Failure::Failed(name.to_owned()),
        _ => Failure::Failed(text),
    }
}

fn standard(error: &zbus::fdo::Error) -> Failure {
    use zbus::fdo::Error;
    match error {
        Error::ZBus(error) => bus(error),
        Error::InvalidArgs(text) => Failure::Usage(text.clone()),
        Error::UnknownObject(_) => Failure::NotFound("it is gone".to_owned()),
        Error::ServiceUnknown(text) | Error::NameHasNoOwner(text) | Error::NoReply(text) => {
            Failure::NoAgent(text.clone())
        }
        other => Failure::Failed(described(other)),
    }
}

/// Whether the bus or who is called there says that this user may not.
pub fn is_denied(error: &wireloom_dbus::Error) -> bool {
    let wireloom_dbus::Error::ZBus(error) = error else { return false };
    match error {
        zbus::Error::MethodError(name, ..) => name.as_str() == "org.freedesktop.DBus.Error.AccessDenied",
        zbus::Error::FDO(error) => matches!(**error, zbus::fdo::Error::AccessDenied(_)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use zbus::fdo::Error as Standard;

    use super::*;

    #[test]
    fn errors_of_the_bus_become_exit_statuses() {
        for (error, code) in [
            (wireloom_dbus::Error::invalid_args("port 3"), 2),
            (wireloom_dbus::Error::from(Standard::InvalidArgs("port 3".to_owned())), 2),
            (wireloom_dbus::Error::from(Standard::ServiceUnknown("nobody".to_owned())), 4),
            (wireloom_dbus::Error::NotFound("no stream".to_owned()), 3),
            (wireloom_dbus::Error::AddressConflict("taken".to_owned()), 1),
        ] {
            assert_eq!(Failure::from(error.clone()).code(), code, "{error:?}");
        }
    }

    #[test]
    fn nobody_reads_the_names_that_errors_have_on_the_bus() {
        use wireloom_dbus::Error;
        let denied = Error::from(Standard::AccessDenied("only root may".to_owned()));
        assert!(is_denied(&denied) && !is_denied(&Error::Failed("only root may".to_owned())));
        for error in [
            denied,
            Error::from(Standard::UnknownProperty("only root may".to_owned())),
            Error::ClockMismatch("only root may".to_owned()),
            Error::Locked("only root may".to_owned()),
        ] {
            assert_eq!(Failure::from(error).to_string(), "only root may");
        }
        assert_eq!(Failure::NotFound("none".to_owned()).see("x").to_string(), "none; see: x");
        assert_eq!(Failure::Failed("none".to_owned()).see("x").to_string(), "none");
    }
}
