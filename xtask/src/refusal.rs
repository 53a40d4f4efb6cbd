//! Errors that end `xtask` with an exit code of their own.

use std::fmt;

/// Something the user must do first; ends the program with [`Refusal::NEEDS_RIGHTS`].
#[derive(Debug)]
pub struct Refusal(pub String);

impl Refusal {
    /// What is missing can only be had with rights that this process does not have.
    pub const NEEDS_RIGHTS: u8 = 3;
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// The exit code that `error` asks for: 3 for a [`Refusal`], otherwise 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Refusal>().is_some() { Refusal::NEEDS_RIGHTS } else { 1 }
}
