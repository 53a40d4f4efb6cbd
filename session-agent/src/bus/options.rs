use std::collections::HashMap;

use super::Fault;
use zbus::OwnedVariant;

/// The options of a call: each is taken once, what remains is unknown and refused.
pub struct Options(HashMap<String, OwnedVariant>);

impl Options {
    pub fn new(options: HashMap<String, OwnedVariant>) -> Self {
        Self(options)
    }

    /// The value of `key`; `None` when it is not given. Errors: InvalidArgs when it has another type.
    pub fn take<T: TryFrom<OwnedVariant>>(&mut self, key: &str) -> Result<Option<T>, Fault> {
        let Some(value) = self.0.remove(key) else { return Ok(None) };
        let signature = value.value_signature().to_string();
        T::try_from(value).map(Some).map_err(|_| {
            Fault::invalid_args(format!("option \"{key}\" cannot have the type \"{signature}\""))
        })
    }

    /// The switch `key`, false when it is not given.
    pub fn flag(&mut self, key: &str) -> Result<bool, Fault> {
        Ok(self.take(key)?.unwrap_or(false))
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<(), Fault> {
        match self.0.keys().min() {
            None => Ok(()),
            Some(key) => Err(Fault::invalid_args(format!("there is no option \"{key}\""))),
        }
    }
}
