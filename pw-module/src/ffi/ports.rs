//! Buffers of a node's ports during one cycle.

use libspa_sys::{spa_buffer, spa_chunk, spa_io_buffers};
use wireloom_rtp::{Planar, PlanarMut};

/// Buffers that one port can be given; PipeWire uses 2, or 1 with an asynchronous peer.
pub(super) const MAX_BUFFERS: usize = 16;

const STATUS_NEED_DATA: i32 = 1;
const STATUS_HAVE_DATA: i32 = 2;
const NO_BUFFER: u32 = u32::MAX;

/// Memory of a buffer as it is at this moment.
struct Memory {
    data: *mut f32,
    capacity: usize,
    chunk: *mut spa_chunk,
}

/// Looks up where the samples of `buffer` are. Not to be remembered: PipeWire's mixer lets a buffer of an input point
/// to the memory of its only writer, anew in every cycle. `None` when it cannot be used.
fn memory(buffer: *mut spa_buffer) -> Option<Memory> {
    if buffer.is_null() {
        return None;
    }
    // SAFETY: PipeWire gives valid buffers and keeps them until it gives others (spa/node/node.h).
    let buffer = unsafe { &*buffer };
    if buffer.n_datas == 0 || buffer.datas.is_null() {
        return None;
    }
    // SAFETY: there is at least one `spa_data`.
    let data = unsafe { &*buffer.datas };
    if data.data.is_null() || data.chunk.is_null() || !data.data.cast::<f32>().is_aligned() {
        return None;
    }
    Some(Memory { data: data.data.cast(), capacity: data.maxsize as usize / 4, chunk: data.chunk })
}

/// One port as the data loop sees it.
pub(super) struct RtPort {
    io: *mut spa_io_buffers,
    buffers: [*mut spa_buffer; MAX_BUFFERS],
    count: usize,
    /// Bit n: buffer n is ours to fill.
    free: u32,
    current: Option<usize>,
    start: *mut f32,
    length: usize,
}

impl RtPort {
    pub(super) const fn new() -> Self {
        Self {
            io: std::ptr::null_mut(),
            buffers: [std::ptr::null_mut(); MAX_BUFFERS],
            count: 0,
            free: 0,
            current: None,
            start: std::ptr::null_mut(),
            length: 0,
        }
    }

    pub(super) fn set_io(&mut self, io: *mut spa_io_buffers) {
        self.io = io;
    }

    /// Takes over `buffers`; false when one of them cannot be used, in which case the port has none.
    pub(super) fn set_buffers(&mut self, buffers: &[*mut spa_buffer]) -> bool {
        self.count = 0;
        self.free = 0;
        if buffers.len() > MAX_BUFFERS {
            return false;
        }
        if buffers.iter().any(|buffer| memory(*buffer).is_none()) {
            return false;
        }
        for (slot, buffer) in self.buffers.iter_mut().zip(buffers) {
            *slot = *buffer;
        }
        self.count = buffers.len();
        self.free = (1_u32 << self.count) - 1;
        true
    }

    /// Gives a buffer that a consumer returned back to the free ones.
    pub(super) fn reuse(&mut self, id: u32) {
        if (id as usize) < self.count {
            self.free |= 1 << id;
        }
    }

    /// Finds the buffer to fill with `frames` samples in this cycle.
    fn begin_output(&mut self, frames: usize) {
        self.current = None;
        if self.io.is_null() {
            return;
        }
        // SAFETY: the io area stays mapped until it is swapped on this same loop.
        let io = unsafe { &mut *self.io };
        if io.status == STATUS_HAVE_DATA {
            return; // nobody took the last one
        }
        if io.buffer_id != NO_BUFFER {
            let id = io.buffer_id;
            io.buffer_id = NO_BUFFER;
            self.reuse(id);
        }
        let id = self.free.trailing_zeros() as usize;
        let found = self.buffers.get(id).filter(|_| id < self.count).and_then(|buffer| memory(*buffer));
        if let Some(buffer) = found.filter(|buffer| buffer.capacity >= frames) {
            self.free &= !(1 << id);
            self.current = Some(id);
            self.start = buffer.data;
            self.length = frames;
        }
    }

    fn end_output(&mut self) {
        let Some(id) = self.current.take() else { return };
        let Some(buffer) = self.buffers.get(id).and_then(|buffer| memory(*buffer)) else { return };
        // SAFETY: the chunk belongs to the buffer, which is ours until it is handed over below.
        let chunk = unsafe { &mut *buffer.chunk };
        chunk.offset = 0;
        chunk.size = u32::try_from(self.length * 4).unwrap_or(0);
        chunk.stride = 4;
        chunk.flags = 0;
        // SAFETY: as in `begin_output`, in the same cycle.
        let io = unsafe { &mut *self.io };
        io.buffer_id = id as u32;
        io.status = STATUS_HAVE_DATA;
    }

    /// Finds the samples that a peer left for this cycle, if it left as many as the cycle has.
    fn begin_input(&mut self, frames: usize) {
        self.current = None;
        if self.io.is_null() {
            return;
        }
        // SAFETY: as in `begin_output`.
        let io = unsafe { &mut *self.io };
        if io.status != STATUS_HAVE_DATA {
            return;
        }
        io.status = STATUS_NEED_DATA;
        let id = io.buffer_id as usize;
        let found = self.buffers.get(id).filter(|_| id < self.count).and_then(|buffer| memory(*buffer));
        let Some(buffer) = found else { return };
        // SAFETY: the chunk belongs to a buffer that the peer has handed over for this cycle.
        let chunk = unsafe { *buffer.chunk };
        let offset = chunk.offset as usize / 4;
        if chunk.size as usize / 4 < frames || offset.saturating_add(frames) > buffer.capacity {
            return;
        }
        self.current = Some(id);
        // SAFETY: offset + frames is inside the buffer, checked on the line above.
        self.start = unsafe { buffer.data.add(offset) };
        self.length = frames;
    }

    fn end_input(&mut self) {
        self.current = None;
        if !self.io.is_null() {
            // SAFETY: as in `begin_output`.
            unsafe { (*self.io).status = STATUS_NEED_DATA };
        }
    }
}

/// The ports of one node in one cycle: a slice of samples for each that is linked.
pub(crate) struct Ports<'a> {
    ports: &'a mut [RtPort],
    output: bool,
}

impl<'a> Ports<'a> {
    pub(super) fn begin(ports: &'a mut [RtPort], output: bool, frames: u32) -> Self {
        for port in ports.iter_mut() {
            if output {
                port.begin_output(frames as usize);
            } else {
                port.begin_input(frames as usize);
            }
        }
        Self { ports, output }
    }

    /// Hands the cycle over: what `process` returns to PipeWire.
    pub(super) fn end(self) -> i32 {
        for port in self.ports.iter_mut() {
            if self.output {
                port.end_output();
            } else {
                port.end_input();
            }
        }
        if self.output { STATUS_HAVE_DATA } else { STATUS_NEED_DATA }
    }

    /// Fills every output with silence.
    pub(crate) fn silence(&mut self) {
        for channel in 0..self.ports.len() {
            if let Some(samples) = self.channel_mut(channel) {
                samples.fill(0.0);
            }
        }
    }
}

impl PlanarMut for Ports<'_> {
    fn channel_mut(&mut self, index: usize) -> Option<&mut [f32]> {
        let port = self.ports.get_mut(index).filter(|_| self.output)?;
        port.current?;
        // SAFETY: `begin_output` checked the length; PipeWire gives every port buffers of its own, the buffer is ours
        // in this cycle, and the result borrows all ports, so that no second slice exists.
        Some(unsafe { std::slice::from_raw_parts_mut(port.start, port.length) })
    }
}

impl Planar for Ports<'_> {
    fn channel(&self, index: usize) -> Option<&[f32]> {
        let port = self.ports.get(index).filter(|_| !self.output)?;
        port.current?;
        // SAFETY: `begin_input` checked the length; the peer does not write before the next cycle.
        Some(unsafe { std::slice::from_raw_parts(port.start, port.length) })
    }
}
