//! The driver node: no ports, a timer on the data loop, and the network's clock in `spa_io_clock`.

use std::rc::Rc;

use libspa_sys as spa;

use super::fence::fence;
use super::node::NodeObject;
use super::rt_watch::Watched;
use super::{Context, Dictionary, Direction, Loop, MainEvent, NodeConfig, Patch, StreamNode, WorldCell};
use crate::rt::Logic;

/// The node that starts the cycles of the graph. Dropping it takes it out of the graph.
pub(crate) struct DriverNode {
    source: Box<TimerSource>,
    data: Loop,
    node: StreamNode,
}

struct TimerSource {
    source: spa::spa_source,
    object: *const NodeObject,
}

impl DriverNode {
    /// Makes the driver with properties `props` and registers it, active.
    ///
    /// Errors: the negative errno that PipeWire gave.
    pub(crate) fn new(
        context: &Context,
        props: Dictionary,
        world: &WorldCell,
        changed: Rc<MainEvent>,
        patch: Rc<Patch>,
    ) -> Result<Self, i32> {
        let config = NodeConfig {
            props,
            direction: Direction::Output,
            ports: Vec::new(),
            desktop: false,
            rate: 0,
            latency: 0,
        };
        let node = StreamNode::new(context, config, Logic::Driver, world, changed, patch)?;
        let data = context.data_loop();
        // SAFETY: all-zero is valid for `spa_source`; the fields that matter are set below.
        let zero = unsafe { std::mem::zeroed::<spa::spa_source>() };
        let mut source = Box::new(TimerSource { source: zero, object: node.object() });
        let pointer: *mut TimerSource = &raw mut *source;
        source.source.func = Some(fired);
        source.source.data = pointer.cast();
        source.source.mask = spa::SPA_IO_IN;
        source.source.fd = world.with(data, |world| world.driver_timer().descriptor());
        // SAFETY: the source stays in its box until `drop` takes it off the loop.
        let res = data.add_source(unsafe { &raw mut (*pointer).source });
        if res < 0 {
            return Err(res);
        }
        let driver = Self { source, data, node };
        let id = driver.node.id().unwrap_or(u32::MAX);
        world.with(data, |world| world.set_driver_id(id));
        driver.node.set_active(true);
        Ok(driver)
    }

    /// The node itself.
    pub(crate) fn node(&self) -> &StreamNode {
        &self.node
    }
}

impl Drop for DriverNode {
    fn drop(&mut self) {
        let source: *mut spa::spa_source = &raw mut self.source.source;
        self.data.run(|| self.data.remove_source(source));
    }
}

/// The driver's timer fired: on the data loop, start a cycle unless the last one still runs.
unsafe extern "C" fn fired(source: *mut spa::spa_source) {
    fence((), || {
        // SAFETY: `data` is the `TimerSource` that holds this source, alive while it is on the loop.
        let object = unsafe { &*(*(*source).data.cast::<TimerSource>()).object };
        let watched = Watched::begin();
        // SAFETY: this is the data loop; both borrows end before `ready` is called.
        let ready = unsafe {
            let (rt, world) = (object.rt(), (*object.world).on_data_loop());
            world.driver_timer().acknowledge();
            world.start_cycle(&mut rt.clock).then_some((rt.callbacks, rt.callbacks_data))
        };
        drop(watched); // what follows is PipeWire's
        let Some((callbacks, data)) = ready else { return };
        let mut result = -libc::EIO;
        if !callbacks.is_null() {
            // SAFETY: the table stays valid until `set_callbacks` replaces it on this loop.
            if let Some(ready) = unsafe { (*callbacks).ready } {
                let status = spa::SPA_STATUS_HAVE_DATA | spa::SPA_STATUS_NEED_DATA;
                // SAFETY: called on the node's own data loop with the data that came with the table.
                result = unsafe { ready(data, status.cast_signed()) };
            }
        }
        let _watched = Watched::begin();
        // SAFETY: `ready` has returned; nothing else holds the two.
        unsafe { (*object.world).on_data_loop().cycle_started(result >= 0, &mut object.rt().clock) };
    });
}
