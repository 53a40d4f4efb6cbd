//! SPA objects ("pods") that our nodes offer and understand.

use libspa_sys as spa;
use std::ffi::{CStr, c_void};

/// Room for one object; the largest is a format with 64 positions.
const BYTES: usize = 2048;

/// Builds one object in memory of its own.
pub(super) struct Pod {
    memory: Box<[u64; BYTES / 8]>,
    builder: spa::spa_pod_builder,
    pod: *mut spa::spa_pod,
}

impl Pod {
    /// An object of type `kind` for parameter `id`, with the properties that `fill` adds.
    fn object(kind: u32, id: u32, fill: impl FnOnce(&mut Properties)) -> Self {
        // SAFETY: all-zero is valid for a builder and a frame; `init` sets the builder up.
        let (builder, mut frame) = unsafe { (std::mem::zeroed(), std::mem::zeroed::<spa::spa_pod_frame>()) };
        let mut this = Self { memory: Box::new([0; BYTES / 8]), builder, pod: std::ptr::null_mut() };
        let b: *mut spa::spa_pod_builder = &raw mut this.builder;
        // SAFETY: the memory outlives the builder, both are in `this`, and the box does not move.
        unsafe {
            spa::spa_pod_builder_init(b, this.memory.as_mut_ptr().cast::<c_void>(), BYTES as u32);
        }
        // SAFETY: builder and frame are set up and alive until `pop`.
        unsafe { spa::spa_pod_builder_push_object(b, &raw mut frame, kind, id) };
        fill(&mut Properties { builder: b });
        // SAFETY: the frame was pushed three lines up.
        this.pod = unsafe { spa::spa_pod_builder_pop(b, &raw mut frame) }.cast();
        this
    }

    /// The object, alive as long as `self`; null when it did not fit.
    pub(super) fn as_ptr(&self) -> *mut spa::spa_pod {
        self.pod
    }

    /// The object reduced to what `filter` also allows; `None` when nothing is left. A null filter allows all.
    ///
    /// # Safety
    /// `filter` is null or a valid pod.
    pub(super) unsafe fn filtered(&self, filter: *const spa::spa_pod) -> Option<Filtered> {
        if self.pod.is_null() {
            return None;
        }
        // SAFETY: all-zero is valid for a builder; `init` sets it up.
        let builder = unsafe { std::mem::zeroed() };
        let mut result = Filtered { memory: Box::new([0; BYTES / 8]), builder, pod: std::ptr::null_mut() };
        // SAFETY: memory and builder live in `result`; the box does not move.
        unsafe {
            spa::spa_pod_builder_init(
                &raw mut result.builder,
                result.memory.as_mut_ptr().cast::<c_void>(),
                BYTES as u32,
            );
        }
        // SAFETY: our own pod is complete, the filter is null or valid as promised.
        let res =
            unsafe { spa::spa_pod_filter(&raw mut result.builder, &raw mut result.pod, self.pod, filter) };
        (res >= 0 && !result.pod.is_null()).then_some(result)
    }
}

/// An object after a filter.
pub(super) struct Filtered {
    memory: Box<[u64; BYTES / 8]>,
    builder: spa::spa_pod_builder,
    pod: *mut spa::spa_pod,
}

impl Filtered {
    /// The object, alive as long as `self`.
    pub(super) fn as_ptr(&self) -> *mut spa::spa_pod {
        debug_assert!(!self.memory.is_empty() && self.builder.size > 0);
        self.pod
    }
}

/// Adds properties to an object under construction.
struct Properties {
    builder: *mut spa::spa_pod_builder,
}

impl Properties {
    fn key(&mut self, key: u32) {
        // SAFETY: the builder is inside an object for as long as `self` exists.
        unsafe { spa::spa_pod_builder_prop(self.builder, key, 0) };
    }

    fn id(&mut self, key: u32, value: u32) {
        self.key(key);
        // SAFETY: as in `key`.
        unsafe { spa::spa_pod_builder_id(self.builder, value) };
    }

    fn int(&mut self, key: u32, value: i32) {
        self.key(key);
        // SAFETY: as in `key`.
        unsafe { spa::spa_pod_builder_int(self.builder, value) };
    }

    fn bool(&mut self, key: u32, value: bool) {
        self.key(key);
        // SAFETY: as in `key`.
        unsafe { spa::spa_pod_builder_bool(self.builder, value) };
    }

    fn string(&mut self, key: u32, value: &CStr) {
        self.key(key);
        // SAFETY: as in `key`; the text ends in NUL and lives for the call.
        unsafe { spa::spa_pod_builder_string(self.builder, value.as_ptr()) };
    }

    /// A range: the first value is the default.
    fn range(&mut self, key: u32, [default, min, max]: [i32; 3]) {
        self.key(key);
        // SAFETY: all-zero is valid for a frame.
        let mut frame = unsafe { std::mem::zeroed::<spa::spa_pod_frame>() };
        let b = self.builder;
        // SAFETY: builder and frame are alive until `pop`.
        unsafe { spa::spa_pod_builder_push_choice(b, &raw mut frame, spa::SPA_CHOICE_Range, 0) };
        for value in [default, min, max] {
            // SAFETY: as above.
            unsafe { spa::spa_pod_builder_int(b, value) };
        }
        // SAFETY: pushed above.
        unsafe { spa::spa_pod_builder_pop(b, &raw mut frame) };
    }

    fn array(&mut self, key: u32, kind: u32, values: &[u32]) {
        self.key(key);
        let count = u32::try_from(values.len()).unwrap_or(0);
        // SAFETY: `values` has `count` elements of four bytes, as ids and floats are.
        unsafe { spa::spa_pod_builder_array(self.builder, 4, kind, count, values.as_ptr().cast()) };
    }
}

/// Format of a port: 32 bit float mono.
pub(super) fn dsp_format(param: u32) -> Pod {
    Pod::object(spa::SPA_TYPE_OBJECT_Format, param, |p| {
        p.id(spa::SPA_FORMAT_mediaType, spa::SPA_MEDIA_TYPE_audio);
        p.id(spa::SPA_FORMAT_mediaSubtype, spa::SPA_MEDIA_SUBTYPE_dsp);
        p.id(spa::SPA_FORMAT_AUDIO_format, spa::SPA_AUDIO_FORMAT_DSP_F32);
    })
}

/// Format of a node that is also a device of the desktop: planar float, `positions` one per channel.
pub(super) fn raw_format(param: u32, rate: u32, positions: &[u32]) -> Pod {
    Pod::object(spa::SPA_TYPE_OBJECT_Format, param, |p| {
        p.id(spa::SPA_FORMAT_mediaType, spa::SPA_MEDIA_TYPE_audio);
        p.id(spa::SPA_FORMAT_mediaSubtype, spa::SPA_MEDIA_SUBTYPE_raw);
        p.id(spa::SPA_FORMAT_AUDIO_format, spa::SPA_AUDIO_FORMAT_F32P);
        p.int(spa::SPA_FORMAT_AUDIO_rate, i32::try_from(rate).unwrap_or(i32::MAX));
        p.int(spa::SPA_FORMAT_AUDIO_channels, i32::try_from(positions.len()).unwrap_or(0));
        p.array(spa::SPA_FORMAT_AUDIO_position, spa::SPA_TYPE_Id, positions);
    })
}

/// Port configuration of a desktop node: as it is.
pub(super) fn port_config(output: bool) -> Pod {
    Pod::object(spa::SPA_TYPE_OBJECT_ParamPortConfig, spa::SPA_PARAM_PortConfig, |p| {
        p.id(spa::SPA_PARAM_PORT_CONFIG_direction, u32::from(output));
        p.id(spa::SPA_PARAM_PORT_CONFIG_mode, spa::SPA_PARAM_PORT_CONFIG_MODE_dsp);
    })
}

/// Volume of a desktop node: always 1.0, never muted, so that samples stay what they are.
pub(super) fn unity_props(channels: usize) -> Pod {
    Pod::object(spa::SPA_TYPE_OBJECT_Props, spa::SPA_PARAM_Props, |p| {
        p.bool(spa::SPA_PROP_mute, false);
        p.array(
            spa::SPA_PROP_channelVolumes,
            spa::SPA_TYPE_Float,
            &vec![1.0_f32.to_bits(); channels.min(64)],
        );
    })
}

/// The one route of a Device, to the part `part` of it: there is none to be had, as where nothing is plugged in.
pub(super) fn no_route(part: u32) -> Pod {
    Pod::object(spa::SPA_TYPE_OBJECT_ParamRoute, spa::SPA_PARAM_EnumRoute, |p| {
        p.int(spa::SPA_PARAM_ROUTE_index, 0);
        p.id(spa::SPA_PARAM_ROUTE_direction, spa::SPA_DIRECTION_OUTPUT);
        p.string(spa::SPA_PARAM_ROUTE_name, c"network");
        p.string(spa::SPA_PARAM_ROUTE_description, c"Network");
        p.int(spa::SPA_PARAM_ROUTE_priority, 0);
        p.id(spa::SPA_PARAM_ROUTE_available, spa::SPA_PARAM_AVAILABILITY_no);
        p.array(spa::SPA_PARAM_ROUTE_devices, spa::SPA_TYPE_Int, &[part]);
    })
}

/// What buffers a port takes.
pub(super) fn buffers() -> Pod {
    Pod::object(spa::SPA_TYPE_OBJECT_ParamBuffers, spa::SPA_PARAM_Buffers, |p| {
        p.range(spa::SPA_PARAM_BUFFERS_buffers, [2, 1, super::ports::MAX_BUFFERS as i32]);
        p.int(spa::SPA_PARAM_BUFFERS_blocks, 1);
        p.range(spa::SPA_PARAM_BUFFERS_size, [8192 * 4, 16 * 4, i32::MAX]);
        p.int(spa::SPA_PARAM_BUFFERS_stride, 4);
    })
}

/// The io area that a port needs.
pub(super) fn io_buffers() -> Pod {
    Pod::object(spa::SPA_TYPE_OBJECT_ParamIO, spa::SPA_PARAM_IO, |p| {
        p.id(spa::SPA_PARAM_IO_id, spa::SPA_IO_Buffers);
        p.int(spa::SPA_PARAM_IO_size, size_of::<spa::spa_io_buffers>() as i32);
    })
}

/// Latency of a port.
pub(super) fn latency(info: &spa::spa_latency_info) -> Pod {
    // SAFETY: all-zero is valid for a builder; `init` sets it up.
    let builder = unsafe { std::mem::zeroed() };
    let mut this = Pod { memory: Box::new([0; BYTES / 8]), builder, pod: std::ptr::null_mut() };
    let b: *mut spa::spa_pod_builder = &raw mut this.builder;
    // SAFETY: the memory outlives the builder, both are in `this`, and the box does not move.
    unsafe { spa::spa_pod_builder_init(b, this.memory.as_mut_ptr().cast::<c_void>(), BYTES as u32) };
    // SAFETY: builder and info are valid for the call.
    this.pod = unsafe { spa::spa_latency_build(b, spa::SPA_PARAM_Latency, info) };
    this
}
