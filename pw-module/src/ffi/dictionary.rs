//! Dictionaries of properties, as PipeWire takes them.

use std::ffi::{CStr, CString};

use libspa_sys::{spa_dict, spa_dict_item};
use pipewire_sys::pw_properties;

/// Keys and values, owned; kept in the order in which they were set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dictionary {
    entries: Vec<(CString, CString)>,
}

impl Dictionary {
    /// Sets `key` to `value`, replacing an earlier value. A NUL byte ends the text, as it would in C.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let (key, value) = (text(key), text(value));
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Calls `f` with the dictionary in C's form, which lives for the call.
    pub(super) fn with_raw<R>(&self, f: impl FnOnce(&spa_dict) -> R) -> R {
        let items: Vec<spa_dict_item> =
            self.entries.iter().map(|(k, v)| spa_dict_item { key: k.as_ptr(), value: v.as_ptr() }).collect();
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        f(&spa_dict { flags: 0, n_items: count, items: items.as_ptr() })
    }

    /// A copy that PipeWire will own.
    pub(super) fn to_properties(&self) -> *mut pw_properties {
        // SAFETY: the dictionary is valid for the call, and its strings are copied (pipewire/properties.h).
        self.with_raw(|dict| unsafe { pipewire_sys::pw_properties_new_dict(dict) })
    }

    /// Reads a dictionary of PipeWire's.
    ///
    /// # Safety
    /// `dict` is null or a valid dictionary for the duration of the call.
    pub(super) unsafe fn from_raw(dict: *const spa_dict) -> Self {
        let mut found = Self::default();
        if dict.is_null() {
            return found;
        }
        // SAFETY: non-null and valid as the caller promised.
        let (items, count) = unsafe { ((*dict).items, (*dict).n_items) };
        for position in 0..count as usize {
            // SAFETY: a dictionary has `n_items` items.
            let item = unsafe { *items.add(position) };
            if item.key.is_null() || item.value.is_null() {
                continue;
            }
            // SAFETY: keys and values are NUL-terminated (spa/utils/dict.h).
            let (key, value) = unsafe { (CStr::from_ptr(item.key), CStr::from_ptr(item.value)) };
            found.entries.push((key.to_owned(), value.to_owned()));
        }
        found
    }

    /// The value of `key`, if it is UTF-8.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(k, _)| k.as_bytes() == key.as_bytes()).and_then(|(_, v)| v.to_str().ok())
    }
}

fn text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(text.get(..end).unwrap_or_default()).unwrap_or_default()
}
