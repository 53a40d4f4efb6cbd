use alloc::boxed::Box;
use alloc::vec;

use wireloom_units::{Channels, MediaIndex};

use crate::am824::BLOCK_FRAMES;
use crate::{ChannelStatus, Encoding, Subframe};

/// Frames without a block start after which an AM824 sender is taken for one that sends no channel status.
const STATUS_PATIENCE: u64 = 2 * BLOCK_FRAMES;

/// Finds out from the channel status of AM824 which channels carry something else than PCM: played as sound it
/// would be full-scale noise. Channels are mute until the first block has told, or none has come.
pub(crate) struct PcmWatch {
    /// One flag per channel; empty for every other encoding.
    mute: Box<[bool]>,
    channels: Channels,
    /// Media index of a block's first frame, modulo the block.
    phase: Option<u64>,
    /// Frames seen without knowing.
    patience: u64,
    /// A channel's status says so.
    pub not_pcm: bool,
    /// A subframe of the last packet had V set.
    pub invalid: bool,
}

impl PcmWatch {
    pub fn new(encoding: Encoding, channels: Channels) -> Self {
        let count = if encoding == Encoding::AM824 { usize::from(channels.count()) } else { 0 };
        let mute = vec![true; count].into_boxed_slice();
        Self { mute, channels, phase: None, patience: STATUS_PATIENCE, not_pcm: false, invalid: false }
    }

    pub fn restart(&mut self) {
        self.mute.fill(true);
        self.phase = None;
        self.patience = STATUS_PATIENCE;
        self.not_pcm = false;
    }

    pub fn is_muted(&self, channel: usize) -> bool {
        self.mute.get(channel).copied().unwrap_or(false)
    }

    /// Looks at the block start and status bits of a payload whose first frame is `at`.
    pub fn watch(&mut self, at: MediaIndex, payload: &[u8]) {
        if self.mute.is_empty() {
            return;
        }
        self.invalid = false;
        for (index, frame) in (at.0..).zip(payload.chunks_exact(4 * usize::from(self.channels.count()))) {
            let (subframes, _) = frame.as_chunks::<4>();
            let mut subframes = subframes.iter().map(|octets| Subframe::from_wire(*octets));
            self.invalid |= subframes.clone().any(|subframe| !subframe.is_valid());
            if subframes.clone().any(Subframe::starts_block) {
                self.phase = Some(index % BLOCK_FRAMES);
            }
            let position = self.phase.map(|phase| (index + BLOCK_FRAMES - phase) % BLOCK_FRAMES);
            if position == Some(ChannelStatus::NON_PCM_BIT) {
                self.mute
                    .iter_mut()
                    .zip(&mut subframes)
                    .for_each(|(mute, subframe)| *mute = subframe.status());
                self.not_pcm = self.mute.contains(&true);
                self.patience = u64::MAX;
            } else if self.patience != u64::MAX {
                self.patience = self.patience.saturating_sub(1);
                if self.patience == 0 {
                    self.mute.fill(false);
                    self.patience = u64::MAX;
                }
            }
        }
    }
}
