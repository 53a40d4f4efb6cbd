//! PipeWire's log. Main loop only: it allocates.

use std::ffi::CString;

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// A bug of ours.
    Error,
    /// The world misbehaved.
    Warn,
    /// A user would want to read it tomorrow.
    Info,
    /// A state changed.
    Debug,
}

/// Writes `text` into the daemon's log.
pub(crate) fn log(level: Level, text: &str) {
    let level = match level {
        Level::Error => libspa_sys::SPA_LOG_LEVEL_ERROR,
        Level::Warn => libspa_sys::SPA_LOG_LEVEL_WARN,
        Level::Info => libspa_sys::SPA_LOG_LEVEL_INFO,
        Level::Debug => libspa_sys::SPA_LOG_LEVEL_DEBUG,
    };
    let Ok(text) = CString::new(format!("wireloom: {}", text.replace('\0', " "))) else { return };
    // SAFETY: file, function and format are NUL-terminated literals, and the format takes the one string given.
    unsafe {
        pipewire_sys::pw_log_log(level, c"wireloom".as_ptr(), 0, c"".as_ptr(), c"%s".as_ptr(), text.as_ptr());
    }
}
