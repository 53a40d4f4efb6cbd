//! The PipeWire module: a driver on the network's clock and one node for every stream.
//!
//! Not responsible for: discovery, SDP, deciding what is wanted, PTP. It makes the nodes that its arguments and the
//! metadata object `wireloom` name, and moves samples between them and the network.

mod arguments;
mod ffi;
mod limits;
mod plugin;
mod properties;
mod rt;
mod slot;
mod spa_json;
mod stream;

use std::ffi::{c_char, c_int};
use std::ptr::NonNull;

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
    ffi::fence::install_hook();
    ffi::rt_watch::find();
    let result = ffi::fence::fence(-libc::EFAULT, || {
        let Some((module, context)) = NonNull::new(module).and_then(ffi::ModuleHandle::new) else {
            return -libc::EINVAL;
        };
        // SAFETY: as the caller promised.
        let Some(args) = (unsafe { ffi::arguments(args) }) else {
            ffi::log(ffi::Level::Error, "the module's arguments are not UTF-8");
            return -libc::EINVAL;
        };
        match plugin::start(module, context, args) {
            Ok(()) => 0,
            Err(error) => {
                ffi::log(ffi::Level::Error, &error.to_string());
                -libc::EINVAL
            }
        }
    });
    if result < 0 {
        ffi::fence::remove_hook();
    }
    result
}
