use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use pipewire::loop_::Signal;
use pipewire::main_loop::MainLoopRc;
use pipewire::spa::utils::Direction;
use pipewire::stream::Stream;
use ringbuf::HeapRb;
use ringbuf::traits::{Consumer, Producer, Split};

use crate::stream::{Client, Position, RATE};

/// How long the writing thread may be held up.
const SLACK_SECONDS: usize = 20;

/// Cycles that may happen before they are read.
const CYCLES: usize = 65_536;

/// When a cycle was.
#[derive(Clone, Copy)]
struct Cycle {
    /// Position of the graph in frames.
    ticks: u64,
    /// CLOCK_MONOTONIC.
    monotonic_ns: i64,
}

/// Records until Ctrl-C.
pub fn run(client: &Client, file: &Path) -> anyhow::Result<()> {
    let channels = client.channels as usize;
    let (producer, consumer) = HeapRb::<f32>::new(RATE as usize * SLACK_SECONDS * channels).split();
    let main_loop = MainLoopRc::new(None)?;
    // Before there are other threads: they inherit that the signal is blocked, without which it would end us at once.
    let quitting = main_loop.clone();
    let _signal = main_loop.loop_().add_signal_local(Signal::INT, move || quitting.quit());
    let stream = client.stream(&main_loop)?;
    let (cycles, noted) = HeapRb::<Cycle>::new(CYCLES).split();
    let taker = Taker { channels, producer, cycles, position: Position::default() };
    let _listener = stream
        .add_local_listener_with_user_data(taker)
        .process(|stream, taker| taker.take(stream))
        .register()?;
    client.connect(&stream, Direction::Input)?;

    let output = File::create(file).with_context(|| file.display().to_string())?;
    let writer = Rc::new(RefCell::new(Writer {
        consumer,
        output,
        noted,
        first: None,
        last: None,
        block: vec![0.0; 65_536],
    }));
    let timed = Rc::clone(&writer);
    let timer = main_loop.loop_().add_timer(move |_| {
        // A full disk shows itself to the lab as a file that does not grow.
        let _ = timed.borrow_mut().write();
    });
    timer.update_timer(Some(Duration::from_millis(50)), Some(Duration::from_millis(50)));
    main_loop.run();
    stream.disconnect()?;
    let mut writer = writer.borrow_mut();
    writer.write().context("writing the recording")?;
    let (Some(first), Some(last)) = (writer.first, writer.last) else { return Ok(()) };
    let note = format!("{} {}\n{} {}\n", first.ticks, first.monotonic_ns, last.ticks, last.monotonic_ns);
    std::fs::write(file.with_extension("cycles"), note).context("writing the noted cycles")
}

/// Runs in the graph's cycle.
struct Taker<P, C> {
    channels: usize,
    producer: P,
    cycles: C,
    position: Position,
}

impl<P: Producer<Item = f32>, C: Producer<Item = Cycle>> Taker<P, C> {
    fn take(&mut self, stream: &Stream) {
        let Ok(time) = stream.time() else { return };
        let ticks = time.ticks();
        // A full queue loses a note, not a sample.
        let _ = self.cycles.try_push(Cycle { ticks, monotonic_ns: time.now() });
        let Some(mut buffer) = stream.dequeue_buffer() else { return };
        let Some(data) = buffer.datas_mut().first_mut() else { return };
        let (offset, size) = (data.chunk().offset() as usize, data.chunk().size() as usize);
        let Some(bytes) = data.data().and_then(|bytes| bytes.get(offset..offset + size)) else { return };
        let (words, _) = bytes.as_chunks::<4>();
        let frames = words.len() / self.channels;
        let missed = self.position.advance(ticks, frames as u64) as usize;
        self.producer.push_iter(std::iter::repeat_n(f32::NAN, missed * self.channels));
        self.producer.push_iter(words.iter().map(|word| f32::from_le_bytes(*word)));
    }
}

/// Runs on the main loop.
struct Writer<C, N> {
    consumer: C,
    noted: N,
    first: Option<Cycle>,
    last: Option<Cycle>,
    output: File,
    block: Vec<f32>,
}

impl<C: Consumer<Item = f32>, N: Consumer<Item = Cycle>> Writer<C, N> {
    fn write(&mut self) -> std::io::Result<()> {
        while let Some(cycle) = self.noted.try_pop() {
            self.first.get_or_insert(cycle);
            self.last = Some(cycle);
        }
        loop {
            let count = self.consumer.pop_slice(&mut self.block);
            if count == 0 {
                return Ok(());
            }
            let bytes: Vec<u8> =
                self.block.iter().take(count).flat_map(|sample| sample.to_le_bytes()).collect();
            self.output.write_all(&bytes)?;
        }
    }
}
