use pipewire::loop_::Signal;
use pipewire::main_loop::MainLoopRc;
use pipewire::spa::utils::Direction;
use pipewire::stream::Stream;

use crate::stream::{Client, Position};

/// Frames when the graph does not say how many it wants.
const DEFAULT_FRAMES: usize = 1024;

/// Plays the sample that `signal` has for each frame and channel, until Ctrl-C.
pub fn run(client: &Client, signal: impl Fn(u64, usize) -> f32 + 'static) -> anyhow::Result<()> {
    let main_loop = MainLoopRc::new(None)?;
    // Before there are other threads: they inherit that the signal is blocked, without which it would end us at once.
    let quitting = main_loop.clone();
    let _signal = main_loop.loop_().add_signal_local(Signal::INT, move || quitting.quit());
    let stream = client.stream(&main_loop)?;
    let giver = Giver { signal, stride: client.stride(), position: Position::default(), frame: 0 };
    let _listener = stream
        .add_local_listener_with_user_data(giver)
        .process(|stream, giver| giver.give(stream))
        .register()?;
    client.connect(&stream, Direction::Output)?;
    main_loop.run();
    stream.disconnect()?;
    Ok(())
}

/// Runs in the graph's cycle.
struct Giver<S> {
    signal: S,
    stride: usize,
    position: Position,
    /// Frame of the signal that the next cycle begins with; it counts frames of missed cycles too.
    frame: u64,
}

impl<S: Fn(u64, usize) -> f32> Giver<S> {
    fn give(&mut self, stream: &Stream) {
        let ticks = stream.time().map_or(0, |time| time.ticks());
        let Some(mut buffer) = stream.dequeue_buffer() else { return };
        let requested = usize::try_from(buffer.requested()).unwrap_or(0);
        let Some(data) = buffer.datas_mut().first_mut() else { return };
        let Some(bytes) = data.data() else { return };
        let wanted = if requested == 0 { DEFAULT_FRAMES } else { requested };
        let frames = wanted.min(bytes.len() / self.stride);
        self.frame += self.position.advance(ticks, frames as u64);
        for (frame, bytes) in (self.frame..).zip(bytes.chunks_exact_mut(self.stride).take(frames)) {
            let (words, _) = bytes.as_chunks_mut::<4>();
            for (channel, word) in words.iter_mut().enumerate() {
                *word = (self.signal)(frame, channel).to_le_bytes();
            }
        }
        self.frame += frames as u64;
        let size = (frames * self.stride) as u32;
        let chunk = data.chunk_mut();
        *chunk.offset_mut() = 0;
        *chunk.stride_mut() = self.stride as i32;
        *chunk.size_mut() = size;
    }
}
