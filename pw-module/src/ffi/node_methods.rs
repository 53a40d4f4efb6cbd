//! The methods of `spa_node` (spa/node/node.h) as PipeWire calls them.

use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering;

use libspa_sys as spa;

use super::clock_area::read_position;
use super::fence::fence;
use super::node::NodeObject;
use super::ports::Ports;
use super::rt_watch::Watched;
use crate::rt::Logic;

pub(super) static METHODS: spa::spa_node_methods = spa::spa_node_methods {
    version: 0,
    add_listener: Some(add_listener),
    set_callbacks: Some(set_callbacks),
    sync: Some(sync),
    enum_params: Some(enum_params),
    set_param: Some(set_param),
    set_io: Some(set_io),
    send_command: Some(send_command),
    add_port: None,
    remove_port: None,
    port_enum_params: Some(port_enum_params),
    port_set_param: Some(port_set_param),
    port_use_buffers: Some(port_use_buffers),
    port_set_io: Some(port_set_io),
    port_reuse_buffer: Some(port_reuse_buffer),
    process: Some(process),
};

/// Runs a method on the object behind `object`.
fn method(object: *mut c_void, f: impl FnOnce(&NodeObject) -> c_int) -> c_int {
    if object.is_null() {
        return -libc::EINVAL;
    }
    // SAFETY: PipeWire calls with the `data` of our interface, a `NodeObject` that outlives its node.
    fence(-libc::EIO, || f(unsafe { &*object.cast::<NodeObject>() }))
}

unsafe extern "C" fn add_listener(
    object: *mut c_void,
    listener: *mut spa::spa_hook,
    events: *const spa::spa_node_events,
    data: *mut c_void,
) -> c_int {
    method(object, |node| {
        // SAFETY: all-zero is valid for a list that `isolate` initialises.
        let mut saved: spa::spa_hook_list = unsafe { std::mem::zeroed() };
        // SAFETY: listener and events are PipeWire's and valid until the hook is removed (spa/utils/hook.h).
        unsafe {
            spa::spa_hook_list_isolate(node.hooks.get(), &raw mut saved, listener, events.cast(), data)
        };
        node.emit_everything();
        // SAFETY: `saved` holds the listeners that `isolate` moved there.
        unsafe { spa::spa_hook_list_join(node.hooks.get(), &raw mut saved) };
        0
    })
}

unsafe extern "C" fn set_callbacks(
    object: *mut c_void,
    callbacks: *const spa::spa_node_callbacks,
    data: *mut c_void,
) -> c_int {
    method(object, |node| {
        node.with_rt(|rt| {
            rt.callbacks = callbacks;
            rt.callbacks_data = data;
        });
        0
    })
}

unsafe extern "C" fn sync(object: *mut c_void, seq: c_int) -> c_int {
    method(object, |node| {
        node.emit_result(seq, 0, std::ptr::null());
        0
    })
}

unsafe extern "C" fn enum_params(
    object: *mut c_void,
    seq: c_int,
    id: u32,
    start: u32,
    max: u32,
    filter: *const spa::spa_pod,
) -> c_int {
    // SAFETY: the filter is null or a valid pod (spa/node/node.h).
    method(object, |node| unsafe { node.enum_node_params(seq, id, start, max, filter) })
}

unsafe extern "C" fn set_param(
    object: *mut c_void,
    id: u32,
    _flags: u32,
    param: *const spa::spa_pod,
) -> c_int {
    method(object, |node| node.set_node_param(id, param))
}

unsafe extern "C" fn set_io(object: *mut c_void, id: u32, area: *mut c_void, size: usize) -> c_int {
    method(object, |node| {
        let fits = |needed| area.is_null() || size >= needed;
        match id {
            spa::SPA_IO_Clock if fits(size_of::<spa::spa_io_clock>()) => {
                let name = node.config.props.get("clock.name").unwrap_or("wireloom").to_owned();
                node.with_rt(|rt| {
                    rt.clock.set_clock(area.cast());
                    rt.clock.write_name(&name);
                });
            }
            spa::SPA_IO_Position if fits(size_of::<spa::spa_io_position>()) => {
                node.with_rt(|rt| {
                    rt.clock.set_position(area.cast());
                    rt.position = area.cast();
                });
            }
            spa::SPA_IO_Clock | spa::SPA_IO_Position => return -libc::ENOSPC,
            _ => return -libc::ENOENT,
        }
        node.drive_if_asked();
        0
    })
}

unsafe extern "C" fn send_command(object: *mut c_void, command: *const spa::spa_command) -> c_int {
    method(object, |node| {
        if command.is_null() {
            return -libc::EINVAL;
        }
        // SAFETY: a valid command, as PipeWire sends it; its body begins with type and id (spa/pod/command.h).
        match unsafe { (*command).body.body.id } {
            spa::SPA_NODE_COMMAND_Start => node.set_running(true),
            spa::SPA_NODE_COMMAND_Pause | spa::SPA_NODE_COMMAND_Suspend => node.set_running(false),
            spa::SPA_NODE_COMMAND_ParamBegin | spa::SPA_NODE_COMMAND_ParamEnd => {}
            _ => return -libc::ENOTSUP,
        }
        0
    })
}

unsafe extern "C" fn port_enum_params(
    object: *mut c_void,
    seq: c_int,
    direction: spa::spa_direction,
    port: u32,
    id: u32,
    start: u32,
    max: u32,
    filter: *const spa::spa_pod,
) -> c_int {
    method(object, |node| match node.port_index(direction, port) {
        // SAFETY: the filter is null or a valid pod (spa/node/node.h).
        Some(port) => unsafe { node.enum_port_params(seq, port, id, start, max, filter) },
        None => -libc::EINVAL,
    })
}

unsafe extern "C" fn port_set_param(
    object: *mut c_void,
    direction: spa::spa_direction,
    port: u32,
    id: u32,
    _flags: u32,
    param: *const spa::spa_pod,
) -> c_int {
    method(object, |node| match node.port_index(direction, port) {
        // SAFETY: the parameter is null or a valid pod (spa/node/node.h).
        Some(port) => unsafe { node.set_port_param(port, id, param) },
        None => -libc::EINVAL,
    })
}

unsafe extern "C" fn port_use_buffers(
    object: *mut c_void,
    direction: spa::spa_direction,
    port: u32,
    _flags: u32,
    buffers: *mut *mut spa::spa_buffer,
    count: u32,
) -> c_int {
    method(object, |node| {
        let Some(port) = node.port_index(direction, port) else { return -libc::EINVAL };
        let list: &[*mut spa::spa_buffer] = if buffers.is_null() || count == 0 {
            &[]
        } else {
            // SAFETY: PipeWire gives `count` buffer pointers, valid for the call.
            unsafe { std::slice::from_raw_parts(buffers, count as usize) }
        };
        let taken = node.with_rt(|rt| rt.ports.get_mut(port).is_some_and(|p| p.set_buffers(list)));
        if taken { 0 } else { -libc::EINVAL }
    })
}

unsafe extern "C" fn port_set_io(
    object: *mut c_void,
    direction: spa::spa_direction,
    port: u32,
    id: u32,
    area: *mut c_void,
    size: usize,
) -> c_int {
    method(object, |node| {
        let Some(port) = node.port_index(direction, port) else { return -libc::EINVAL };
        if id != spa::SPA_IO_Buffers {
            return -libc::ENOENT;
        }
        if !area.is_null() && size < size_of::<spa::spa_io_buffers>() {
            return -libc::ENOSPC;
        }
        node.with_rt(|rt| {
            if let Some(port) = rt.ports.get_mut(port) {
                port.set_io(area.cast());
            }
        });
        0
    })
}

unsafe extern "C" fn port_reuse_buffer(object: *mut c_void, port: u32, buffer: u32) -> c_int {
    method(object, |node| {
        // SAFETY: PipeWire calls this on the data loop.
        if let Some(port) = unsafe { node.rt() }.ports.get_mut(port as usize) {
            port.reuse(buffer);
        }
        0
    })
}

/// One cycle, on the data loop.
unsafe extern "C" fn process(object: *mut c_void) -> c_int {
    if object.is_null() {
        return 0;
    }
    // SAFETY: as in `method`.
    let node = unsafe { &*object.cast::<NodeObject>() };
    let fallback = (spa::SPA_STATUS_HAVE_DATA | spa::SPA_STATUS_NEED_DATA).cast_signed();
    let result = fence(None, || {
        let _watched = Watched::begin();
        // SAFETY: the data loop calls `process`; nothing else borrows the node's part or the world meanwhile.
        let (rt, world) = unsafe { (node.rt(), (*node.world).on_data_loop()) };
        if matches!(rt.logic, Logic::Driver) {
            world.end_of_cycle();
            return Some(fallback);
        }
        let output = node.config.direction == super::Direction::Output;
        let Some(position) = read_position(rt.position).filter(|p| p.frames > 0) else {
            return Some(spa::SPA_STATUS_OK.cast_signed());
        };
        let mut ports = Ports::begin(&mut rt.ports, output, position.frames);
        if node.failed.load(Ordering::Relaxed) {
            ports.silence();
        } else {
            world.count_cycle();
            match &mut rt.logic {
                Logic::Driver => {}
                Logic::Receive(receive) => receive.process(world, &position, &mut ports),
                Logic::Transmit(transmit) => transmit.process(world, &position, &mut ports),
            }
        }
        Some(ports.end())
    });
    result.unwrap_or_else(|| {
        // A panic: from now on this node is silent; the main loop tells the story.
        node.failed.store(true, Ordering::Relaxed);
        spa::SPA_STATUS_OK.cast_signed()
    })
}
