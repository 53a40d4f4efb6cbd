//! At which rates the graph runs, as its daemon says.

use std::cell::RefCell;
use std::rc::Rc;

/// Name of the metadata object in which it is.
pub const METADATA_NAME: &str = "settings";

/// What is known so far.
#[derive(Debug, Default, Clone)]
pub struct Settings {
    rate: u32,
    /// 0 for none. It is told last, so who knows it knows them all.
    forced: Option<u32>,
    allowed: Vec<u32>,
}

impl Settings {
    /// Keeps what the metadata object says.
    pub fn hear(settings: &Rc<RefCell<Self>>, key: Option<&str>, value: Option<&str>) {
        let mut settings = settings.borrow_mut();
        let value = value.unwrap_or_default();
        match key {
            Some("clock.rate") => settings.rate = value.parse().unwrap_or(0),
            Some("clock.force-rate") => settings.forced = value.parse().ok(),
            Some("clock.allowed-rates") => {
                let numbers = value.split(|c: char| !c.is_ascii_digit());
                settings.allowed = numbers.filter_map(|number| number.parse().ok()).collect();
            }
            _ => {}
        }
    }

    /// Whether it is known at which rates the graph runs.
    pub fn is_known(&self) -> bool {
        self.rate != 0 && self.forced.is_some()
    }

    /// Why nothing can be tested at this rate, if it is so.
    pub fn refusal(&self, rate: u32) -> Option<String> {
        let (now, others) = match self.forced {
            None | Some(0) => (self.rate, self.allowed.as_slice()),
            Some(forced) => (forced, &[][..]),
        };
        (self.is_known() && rate != now && !others.contains(&rate)).then(|| other_rate(now, rate))
    }
}

/// Words for a graph that has another rate than was asked for.
pub fn other_rate(now: u32, asked: u32) -> String {
    format!(
        "the graph runs at {now} Hz; ask for --rate {now}, or have it run at {asked} Hz (clock.allowed-rates)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_the_graph_does_not_take_is_refused_with_the_one_that_it_has() {
        let settings = Rc::new(RefCell::new(Settings::default()));
        let refused = |rate| settings.borrow().refusal(rate).is_some();
        assert!(!refused(96_000), "nothing is known yet");
        Settings::hear(&settings, Some("clock.rate"), Some("48000"));
        assert!(!refused(96_000), "not everything is known yet");
        Settings::hear(&settings, Some("clock.force-rate"), Some("0"));
        assert!(refused(96_000) && !refused(48_000));
        Settings::hear(&settings, Some("clock.allowed-rates"), Some("[ 44100, 48000 96000 ]"));
        assert!(!refused(96_000) && !refused(44_100) && !refused(48_000) && refused(192_000));
        Settings::hear(&settings, Some("clock.force-rate"), Some("96000"));
        assert!(!refused(96_000) && refused(48_000));
        let words = settings.borrow().refusal(48_000).expect("it is refused");
        assert!(words.starts_with("the graph runs at 96000 Hz; ask for --rate 96000"), "{words}");
        Settings::hear(&settings, Some("clock.force-rate"), Some("0"));
        assert!(!refused(48_000));
    }
}
