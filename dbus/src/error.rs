/// The errors of the contract, `org.wireloom.Wireloom1.Error.*`. The text is one English sentence for logs.
#[derive(Debug, Clone, PartialEq, zbus::DBusError)]
#[zbus(prefix = "org.wireloom.Wireloom1.Error")]
pub enum Error {
    /// Anything else that the bus says, the standard errors among it.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// Nothing has that id.
    NotFound(String),
    /// The agent cannot act now: another session is active, or it is still starting.
    NotReady(String),
    /// The same is being done already.
    InProgress(String),
    /// Not in this version, or not for this object.
    NotSupported(String),
    /// The description or format cannot be used.
    FormatMismatch(String),
    /// The clocks do not fit.
    ClockMismatch(String),
    /// The address is used by another stream.
    AddressConflict(String),
    /// A limit is reached.
    NoBandwidth(String),
    /// The device is locked.
    Locked(String),
    /// It took too long.
    Timeout(String),
    /// It did not work; the text says why.
    Failed(String),
}

impl Error {
    /// `org.freedesktop.DBus.Error.InvalidArgs` with a sentence that names the offending value.
    pub fn invalid_args(text: impl Into<String>) -> Self {
        Self::ZBus(zbus::Error::FDO(Box::new(zbus::fdo::Error::InvalidArgs(text.into()))))
    }
}

impl From<zbus::fdo::Error> for Error {
    fn from(error: zbus::fdo::Error) -> Self {
        match error {
            zbus::fdo::Error::ZBus(error) => error.into(),
            other => Self::ZBus(zbus::Error::FDO(Box::new(other))),
        }
    }
}
