//! Where PipeWire enters.

use std::ffi::{c_char, c_int};
use std::ptr::NonNull;

use super::{Level, ModuleHandle, arguments, fence, log, rt_watch};
use crate::plugin;

/// Called once by PipeWire, on its main loop, when the module is loaded.
///
/// # Safety
/// As PipeWire calls it (pipewire/impl-module.h, `pw_impl_module_init_func_t`): `module` is the module being
/// initialised, `args` is null or NUL-terminated and outlives the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pipewire__module_init(
    module: *mut pipewire_sys::pw_impl_module,
    args: *const c_char,
) -> c_int {
    fence::install_hook();
    rt_watch::find();
    let result = fence::fence(-libc::EFAULT, || {
        let Some((module, context)) = NonNull::new(module).and_then(ModuleHandle::new) else {
            return -libc::EINVAL;
        };
        // SAFETY: as the caller promised.
        let Some(args) = (unsafe { arguments(args) }) else {
            log(Level::Error, "the module's arguments are not UTF-8");
            return -libc::EINVAL;
        };
        match plugin::start(module, context, args) {
            Ok(()) => 0,
            Err(error) => {
                log(Level::Error, &error.to_string());
                -libc::EINVAL
            }
        }
    });
    if result < 0 {
        fence::remove_hook();
    }
    result
}
