use std::cell::RefCell;
use std::io::BufRead;
use std::rc::Rc;

use pipewire::metadata::{Metadata, MetadataListener};
use pipewire::types::ObjectType;

use crate::native::Program;

/// Type of the values.
const JSON: &str = "Spa:String:JSON";

/// Prints and sets keys until the input ends.
pub fn run() -> anyhow::Result<()> {
    let program = Program::new()?;
    let registry = program.core.get_registry_rc()?;
    let bound: Rc<RefCell<Option<(Metadata, MetadataListener)>>> = Rc::default();
    let (place, weak) = (Rc::clone(&bound), registry.downgrade());
    let _objects = registry
        .add_listener_local()
        .global(move |global| {
            let named = global.props.as_ref().and_then(|props| props.get("metadata.name"));
            let Some(registry) = weak.upgrade() else { return };
            if global.type_ != ObjectType::Metadata || named != Some("wireloom") {
                return;
            }
            let Ok(metadata) = registry.bind::<Metadata, _>(global) else { return };
            let listener = metadata
                .add_listener_local()
                .property(|_, key, _, value| {
                    match (key, value) {
                        (Some(key), Some(value)) => println!("{key} {value}"),
                        (Some(key), None) => println!("{key}"),
                        (None, _) => println!("cleared"),
                    }
                    0
                })
                .register();
            *place.borrow_mut() = Some((metadata, listener));
        })
        .register();
    program.sync()?;
    program.sync()?;
    anyhow::ensure!(bound.borrow().is_some(), "there is no metadata object named wireloom");
    println!("ready");
    let (sender, receiver) = pipewire::channel::channel::<Option<String>>();
    let main_loop = program.main_loop.clone();
    let _attached = receiver.attach(program.main_loop.loop_(), move |line: Option<String>| {
        let (Some(line), Some((metadata, _))) = (line, &*bound.borrow()) else { return main_loop.quit() };
        match line.split_once(' ') {
            Some((key, value)) => metadata.set_property(0, key, Some(JSON), Some(value)),
            None => metadata.set_property(0, &line, None, None),
        }
    });
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(Some(line));
        }
        let _ = sender.send(None);
    });
    program.main_loop.run();
    Ok(())
}
