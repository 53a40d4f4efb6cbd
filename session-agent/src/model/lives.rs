//! Whether PipeWire keeps dying with our module in it.

use std::collections::VecDeque;

use wireloom_units::Nanos;

use super::{GraphEvent, Model};

/// So many deaths...
const DEATHS: usize = 4;
/// ... within this time are no accident, ...
const WITHIN: Nanos = Nanos::from_secs(60);
/// ... when each came so soon after the module was seen. systemd gives up on a service at five starts within 10 s.
const SHORT: Nanos = Nanos::from_secs(10);

/// The daemon's short lives.
#[derive(Debug, Default)]
pub struct Lives {
    /// When the module of the present daemon was seen.
    born: Option<Nanos>,
    deaths: VecDeque<Nanos>,
}

impl Lives {
    /// Answers whether this is one death too many.
    pub fn handle(&mut self, now: Nanos, event: &GraphEvent) -> bool {
        match event {
            GraphEvent::ObjectAppeared => self.born = Some(now),
            GraphEvent::ObjectGone => self.born = None, // the module was unloaded, the daemon lives
            GraphEvent::Disconnected => {
                let Some(born) = self.born.take() else { return false };
                if now.since(born) >= SHORT {
                    self.deaths.clear();
                    return false;
                }
                self.deaths.push_back(now);
                self.deaths.retain(|death| now.since(*death) < WITHIN);
                if self.deaths.len() >= DEATHS {
                    self.deaths.clear();
                    return true;
                }
            }
            _ => {}
        }
        false
    }
}

/// What became of the drop-in that loads the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum DropInState {
    /// Nothing of note.
    #[default]
    On,
    /// Switched off; this command switches it on again.
    Off { remedy: String },
    /// The daemon keeps dying, and the drop-in could not be switched off.
    Stuck { why: String },
}

impl DropInState {
    /// What to tell the user.
    pub fn text(&self) -> String {
        let begin = "PipeWire died again and again soon after it had loaded Wireloom";
        match self {
            Self::On => String::new(),
            Self::Off { remedy } => {
                format!("{begin}, so that its drop-in was switched off. To switch it on again: {remedy}")
            }
            Self::Stuck { why } => {
                format!(
                    "{begin}, and the drop-in cannot be switched off ({why}): remove what loads the module"
                )
            }
        }
    }
}

impl Model {
    /// Whether the drop-in should be switched off; asks once.
    pub fn poll_switch_off(&mut self) -> bool {
        std::mem::take(&mut self.switch_off)
    }

    /// What became of the drop-in; answers whether that is news.
    pub fn handle_drop_in(&mut self, state: DropInState) -> bool {
        std::mem::replace(&mut self.drop_in, state.clone()) != state
    }

    /// What is known of the drop-in.
    pub fn drop_in(&self) -> &DropInState {
        &self.drop_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives of these many seconds, each begun so many seconds after the last one's end; on which one it trips.
    fn trips(lives: impl IntoIterator<Item = (u64, u64)>, with_module: bool) -> Option<usize> {
        let (mut watched, mut now) = (Lives::default(), Nanos::ZERO);
        lives.into_iter().position(|(pause, life)| {
            now = now.plus(Nanos::from_secs(pause));
            assert!(!watched.handle(now, &GraphEvent::Connected));
            if with_module {
                assert!(!watched.handle(now, &GraphEvent::ObjectAppeared));
            }
            now = now.plus(Nanos::from_secs(life));
            let tripped = watched.handle(now, &GraphEvent::Disconnected);
            // Attempts that fail while there is no daemon are no deaths.
            (0..9).for_each(|_| assert!(!watched.handle(now, &GraphEvent::Disconnected)));
            tripped
        })
    }

    #[test]
    fn a_daemon_that_keeps_dying_with_the_module_is_noticed_at_the_fourth_death() {
        assert_eq!(trips([(1, 1); 4], true), Some(3));
        assert_eq!(trips([(5, 9); 9], true), Some(3));
        assert_eq!(trips([(1, 1), (1, 1), (1, 60), (1, 1), (1, 1), (1, 1), (1, 1)], true), Some(6));
    }

    #[test]
    fn ordinary_restarts_are_no_sign_of_anything() {
        assert_eq!(trips([(1, 10); 1000], true), None, "each lived for a while");
        assert_eq!(trips([(30, 1); 1000], true), None, "not so often");
        assert_eq!(trips([(1, 1); 1000], false), None, "without the module");
        assert_eq!(trips([(1, 1); 3], true), None, "three in a row");
        let mixed = (0..1000).map(|round| (1, if round % 4 == 3 { 20 } else { 1 }));
        assert_eq!(trips(mixed, true), None, "three in a row, over and over");
    }

    #[test]
    fn a_module_that_was_unloaded_is_not_to_blame() {
        let mut watched = Lives::default();
        for _ in 0..100 {
            for event in [GraphEvent::ObjectAppeared, GraphEvent::ObjectGone, GraphEvent::Disconnected] {
                assert!(!watched.handle(Nanos::ZERO, &event));
            }
        }
    }
}
