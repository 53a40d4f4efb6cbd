//! What a node tells about itself: info, ports, parameters.

use std::ffi::{c_int, c_void};

use libspa_sys as spa;

use super::Direction;
use super::interface::for_each_hook;
use super::node::NodeObject;
use super::pod::{self, Pod};
use crate::rt::Logic;

const PORT_PARAMS: usize = 5;
const NODE_PARAMS: usize = 4;
const READ: u32 = spa::SPA_PARAM_INFO_READ;
const WRITE: u32 = spa::SPA_PARAM_INFO_WRITE;
const SERIAL: u32 = spa::SPA_PARAM_INFO_SERIAL;

/// What can change about a node's parameters. Main loop only.
pub(super) struct NodeParams {
    ports: Vec<PortParams>,
    /// Latency that this node adds, on its own side.
    own: spa::spa_latency_info,
    /// Latency that comes from the other side of each port's links (kept, because PipeWire asks for it back).
    other_direction: spa::spa_direction,
    serial: u32,
    configured: bool,
}

struct PortParams {
    has_format: bool,
    other: Option<spa::spa_latency_info>,
    /// Toggled whenever a latency changes; PipeWire re-reads a parameter only when its flags differ.
    latency_serial: bool,
}

impl NodeParams {
    pub(super) fn new(ports: usize, direction: Direction, latency: u32) -> Self {
        let (own, other_direction) = match direction {
            Direction::Output => (spa::SPA_DIRECTION_OUTPUT, spa::SPA_DIRECTION_INPUT),
            Direction::Input => (spa::SPA_DIRECTION_INPUT, spa::SPA_DIRECTION_OUTPUT),
        };
        Self {
            ports: (0..ports)
                .map(|_| PortParams { has_format: false, other: None, latency_serial: false })
                .collect(),
            own: fixed_latency(own, latency),
            other_direction,
            serial: 0,
            configured: false,
        }
    }
}

/// A latency of exactly `samples`, in the direction of `direction`.
fn fixed_latency(direction: spa::spa_direction, samples: u32) -> spa::spa_latency_info {
    spa::spa_latency_info {
        direction,
        min_quantum: 0.0,
        max_quantum: 0.0,
        min_rate: samples,
        max_rate: samples,
        min_ns: 0,
        max_ns: 0,
    }
}

fn param(id: u32, flags: u32) -> spa::spa_param_info {
    spa::spa_param_info { id, flags, user: 0, seq: 0, padding: [0; 4] }
}

impl NodeObject {
    fn is_output(&self) -> bool {
        self.config.direction == Direction::Output
    }

    fn spa_direction(&self) -> spa::spa_direction {
        if self.is_output() { spa::SPA_DIRECTION_OUTPUT } else { spa::SPA_DIRECTION_INPUT }
    }

    pub(super) fn port_index(&self, direction: spa::spa_direction, port: u32) -> Option<usize> {
        let index = port as usize;
        (direction == self.spa_direction() && index < self.config.ports.len()).then_some(index)
    }

    /// Tells every listener all there is.
    pub(super) fn emit_everything(&self) {
        self.emit_info(spa::SPA_NODE_CHANGE_MASK_PROPS);
        for port in 0..self.config.ports.len() {
            self.emit_port(port);
        }
    }

    /// Tells every listener what the node is, with its properties if `props` says so. They are those that it was made
    /// with: told again, they would take the place of what has been set since.
    fn emit_info(&self, props: u32) {
        let count = u32::try_from(self.config.ports.len()).unwrap_or(0);
        let mut params = {
            let state = self.params.borrow();
            let format = if state.configured { READ | WRITE } else { WRITE };
            let serial = if state.serial % 2 == 1 { SERIAL } else { 0 };
            [
                param(spa::SPA_PARAM_EnumFormat, READ),
                param(spa::SPA_PARAM_Format, format),
                param(spa::SPA_PARAM_PortConfig, READ | WRITE),
                param(spa::SPA_PARAM_Props, READ | WRITE | serial),
            ]
        };
        self.config.props.with_raw(|dict| {
            let info = spa::spa_node_info {
                max_input_ports: if self.is_output() { 0 } else { count },
                max_output_ports: if self.is_output() { count } else { 0 },
                change_mask: u64::from(
                    spa::SPA_NODE_CHANGE_MASK_FLAGS | props | spa::SPA_NODE_CHANGE_MASK_PARAMS,
                ),
                flags: u64::from(spa::SPA_NODE_FLAG_RT),
                props: std::ptr::from_ref(dict).cast_mut(),
                params: params.as_mut_ptr(),
                n_params: if self.config.desktop { NODE_PARAMS as u32 } else { 0 },
            };
            self.for_each_listener(|events, data| {
                if let Some(f) = events.info {
                    // SAFETY: the listener's table and data are valid; `info` lives for the call.
                    unsafe { f(data, &raw const info) };
                }
            });
        });
    }

    fn emit_port(&self, port: usize) {
        let Some(props) = self.config.ports.get(port) else { return };
        let (has_format, latency_serial) =
            self.params.borrow().ports.get(port).map_or((false, false), |p| (p.has_format, p.latency_serial));
        let serial = if latency_serial { SERIAL } else { 0 };
        let mut params: [spa::spa_param_info; PORT_PARAMS] = [
            param(spa::SPA_PARAM_EnumFormat, READ),
            param(spa::SPA_PARAM_Format, if has_format { READ | WRITE } else { WRITE }),
            param(spa::SPA_PARAM_Buffers, if has_format { READ } else { 0 }),
            param(spa::SPA_PARAM_IO, READ),
            param(spa::SPA_PARAM_Latency, READ | WRITE | serial),
        ];
        props.with_raw(|dict| {
            let info = spa::spa_port_info {
                change_mask: u64::from(
                    spa::SPA_PORT_CHANGE_MASK_FLAGS
                        | spa::SPA_PORT_CHANGE_MASK_PROPS
                        | spa::SPA_PORT_CHANGE_MASK_PARAMS,
                ),
                flags: u64::from(
                    spa::SPA_PORT_FLAG_LIVE
                        | spa::SPA_PORT_FLAG_PHYSICAL
                        | spa::SPA_PORT_FLAG_TERMINAL
                        | spa::SPA_PORT_FLAG_NO_REF,
                ),
                rate: spa::spa_fraction { num: 0, denom: 1 },
                props: dict,
                params: params.as_mut_ptr(),
                n_params: PORT_PARAMS as u32,
            };
            let direction = self.spa_direction();
            self.for_each_listener(|events, data| {
                if let Some(f) = events.port_info {
                    // SAFETY: as in `emit_info`.
                    unsafe { f(data, direction, port as u32, &raw const info) };
                }
            });
        });
    }

    /// Tells the caller of a method its result; `result` is null or of the kind `NODE_PARAMS`.
    pub(super) fn emit_result(&self, seq: c_int, kind: u32, result: *const c_void) {
        self.for_each_listener(|events, data| {
            if let Some(f) = events.result {
                // SAFETY: as in `emit_info`; `result` lives for the call.
                unsafe { f(data, seq, 0, kind, result) };
            }
        });
    }

    fn for_each_listener(&self, mut f: impl FnMut(&spa::spa_node_events, *mut c_void)) {
        // SAFETY: the list belongs to the main loop, which is where events are emitted.
        for_each_hook(unsafe { &mut *self.hooks.get() }, |table, data| {
            // SAFETY: listeners of a node have a `spa_node_events` table.
            f(unsafe { &*table.cast::<spa::spa_node_events>() }, data);
        });
    }

    /// Emits the pods `make(0)`, `make(1)` … that pass the filter, as `enum_params` promises.
    ///
    /// # Safety
    /// `filter` is null or a valid pod.
    unsafe fn enumerate(
        &self,
        seq: c_int,
        id: u32,
        range: (u32, u32),
        filter: *const spa::spa_pod,
        make: impl Fn(u32) -> Option<Pod>,
    ) -> c_int {
        let (mut index, max) = range;
        let mut found = 0;
        while found < max {
            let Some(pod) = make(index) else { break };
            index += 1;
            // SAFETY: as the caller promised.
            let Some(pod) = (unsafe { pod.filtered(filter) }) else { continue };
            let result =
                spa::spa_result_node_params { id, index: index - 1, next: index, param: pod.as_ptr() };
            self.emit_result(seq, spa::SPA_RESULT_TYPE_NODE_PARAMS, (&raw const result).cast());
            found += 1;
        }
        0
    }

    /// # Safety
    /// `filter` is null or a valid pod.
    pub(super) unsafe fn enum_node_params(
        &self,
        seq: c_int,
        id: u32,
        start: u32,
        max: u32,
        filter: *const spa::spa_pod,
    ) -> c_int {
        if !self.config.desktop {
            return -libc::ENOENT;
        }
        let channels = self.config.ports.len();
        let configured = self.params.borrow().configured;
        let make = |index: u32| match (id, index) {
            (spa::SPA_PARAM_EnumFormat, 0) => {
                Some(pod::raw_format(id, self.config.rate, &positions(channels)))
            }
            (spa::SPA_PARAM_Format, 0) if configured => {
                Some(pod::raw_format(id, self.config.rate, &positions(channels)))
            }
            (spa::SPA_PARAM_PortConfig, 0) => Some(pod::port_config(self.is_output())),
            (spa::SPA_PARAM_Props, 0) => Some(pod::unity_props(channels)),
            _ => None,
        };
        match id {
            spa::SPA_PARAM_EnumFormat
            | spa::SPA_PARAM_Format
            | spa::SPA_PARAM_PortConfig
            | spa::SPA_PARAM_Props => {
                // SAFETY: as the caller promised.
                unsafe { self.enumerate(seq, id, (start, max), filter, make) }
            }
            _ => -libc::ENOENT,
        }
    }

    pub(super) fn set_node_param(&self, id: u32, param: *const spa::spa_pod) -> c_int {
        if !self.config.desktop {
            return -libc::ENOENT;
        }
        match id {
            spa::SPA_PARAM_Format => self.params.borrow_mut().configured = !param.is_null(),
            // Ports are what they are, and samples stay what they are: taken note of, then told again as they are.
            spa::SPA_PARAM_PortConfig | spa::SPA_PARAM_Props => {}
            _ => return -libc::ENOENT,
        }
        let in_use = {
            let mut state = self.params.borrow_mut();
            state.serial += 1;
            state.ports.iter().any(|port| port.has_format)
        };
        self.emit_info(0);
        if id == spa::SPA_PARAM_PortConfig && !in_use {
            // WirePlumber 0.4 waits until it sees ports change after it has configured them.
            for port in 0..self.config.ports.len() {
                self.withdraw_port(port);
            }
            for port in 0..self.config.ports.len() {
                self.emit_port(port);
            }
        }
        0
    }

    /// Tells every listener that a port is gone.
    fn withdraw_port(&self, port: usize) {
        let direction = self.spa_direction();
        self.for_each_listener(|events, data| {
            if let Some(f) = events.port_info {
                // SAFETY: as in `emit_info`; null removes the port (spa/node/node.h).
                unsafe { f(data, direction, port as u32, std::ptr::null()) };
            }
        });
    }

    /// # Safety
    /// `filter` is null or a valid pod.
    pub(super) unsafe fn enum_port_params(
        &self,
        seq: c_int,
        port: usize,
        id: u32,
        start: u32,
        max: u32,
        filter: *const spa::spa_pod,
    ) -> c_int {
        let (has_format, own, other) = {
            let state = self.params.borrow();
            let Some(params) = state.ports.get(port) else { return -libc::EINVAL };
            let none = fixed_latency(state.other_direction, 0);
            (params.has_format, state.own, params.other.unwrap_or(none))
        };
        let make = |index: u32| match (id, index) {
            (spa::SPA_PARAM_EnumFormat, 0) => Some(pod::dsp_format(id)),
            (spa::SPA_PARAM_Format, 0) if has_format => Some(pod::dsp_format(id)),
            (spa::SPA_PARAM_Buffers, 0) if has_format => Some(pod::buffers()),
            (spa::SPA_PARAM_IO, 0) => Some(pod::io_buffers()),
            (spa::SPA_PARAM_Latency, 0) => Some(pod::latency(&own)),
            (spa::SPA_PARAM_Latency, 1) => Some(pod::latency(&other)),
            _ => None,
        };
        match id {
            spa::SPA_PARAM_EnumFormat
            | spa::SPA_PARAM_Format
            | spa::SPA_PARAM_Buffers
            | spa::SPA_PARAM_IO
            | spa::SPA_PARAM_Latency => {
                // SAFETY: as the caller promised.
                unsafe { self.enumerate(seq, id, (start, max), filter, make) }
            }
            _ => -libc::ENOENT,
        }
    }

    /// # Safety
    /// `param` is null or a valid pod.
    pub(super) unsafe fn set_port_param(&self, port: usize, id: u32, param: *const spa::spa_pod) -> c_int {
        match id {
            spa::SPA_PARAM_Format => {
                {
                    let mut state = self.params.borrow_mut();
                    let Some(params) = state.ports.get_mut(port) else { return -libc::EINVAL };
                    params.has_format = !param.is_null();
                }
                if param.is_null() {
                    self.with_rt(|rt| rt.ports.get_mut(port).is_some_and(|p| p.set_buffers(&[])));
                }
                self.emit_port(port);
                0
            }
            spa::SPA_PARAM_Latency => {
                let mut state = self.params.borrow_mut();
                let direction = state.other_direction;
                let Some(params) = state.ports.get_mut(port) else { return -libc::EINVAL };
                let before = params.other.take();
                if !param.is_null() {
                    let mut info = fixed_latency(direction, 0);
                    // SAFETY: a valid pod and a place for the result.
                    let res = unsafe { spa::spa_latency_parse(param, &raw mut info) };
                    if res < 0 {
                        return res;
                    }
                    if info.direction == direction {
                        params.other = Some(info);
                    }
                }
                if params.other != before {
                    params.latency_serial = !params.latency_serial;
                    drop(state);
                    self.emit_port(port);
                }
                0
            }
            _ => -libc::ENOENT,
        }
    }

    /// Changes the latency that this node adds and tells it on every port.
    pub(super) fn set_latency(&self, samples: u32) {
        {
            let mut state = self.params.borrow_mut();
            let direction = state.own.direction;
            state.own = fixed_latency(direction, samples);
            for port in &mut state.ports {
                port.latency_serial = !port.latency_serial;
            }
        }
        for port in 0..self.config.ports.len() {
            self.emit_port(port);
        }
    }

    /// Start and Pause, for the driver: it wakes the graph only in between.
    pub(super) fn set_running(&self, running: bool) {
        // SAFETY: the module keeps the world for longer than its nodes.
        let world = unsafe { &*self.world };
        self.with_rt(|rt| {
            if matches!(rt.logic, Logic::Driver) {
                // SAFETY: on the data loop inside `run`.
                unsafe { world.on_data_loop() }.set_running(running, &mut rt.clock);
            }
        });
    }

    /// Looks again whether this node drives, after an area changed.
    pub(super) fn drive_if_asked(&self) {
        // SAFETY: as in `set_running`.
        let world = unsafe { &*self.world };
        self.with_rt(|rt| {
            if matches!(rt.logic, Logic::Driver) {
                // SAFETY: on the data loop inside `run`.
                unsafe { world.on_data_loop() }.clock_area_changed(&mut rt.clock);
            }
        });
    }
}

/// Channel positions of a desktop node: mono, stereo, else AUX.
fn positions(channels: usize) -> Vec<u32> {
    match channels {
        1 => vec![spa::SPA_AUDIO_CHANNEL_MONO],
        2 => vec![spa::SPA_AUDIO_CHANNEL_FL, spa::SPA_AUDIO_CHANNEL_FR],
        n => (0..n.min(64) as u32).map(|i| spa::SPA_AUDIO_CHANNEL_START_Aux + i).collect(),
    }
}
