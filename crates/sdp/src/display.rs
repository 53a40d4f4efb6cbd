use alloc::string::String;

/// The most characters of a received text that are shown.
const MAX_SHOWN: usize = 128; // fits a node name and a table cell; the longest real name seen has 64

/// Makes received text safe to show: no control characters, no bidirectional overrides, at most 128 characters.
///
/// Everything that leaves this crate for people goes through here; matching uses the raw text.
/// Blanks at both ends go too. Source: Unicode UAX 9 (the explicit formatting characters).
pub fn for_display(text: &str) -> String {
    let shown: String = text.trim().chars().filter(|&c| is_harmless(c)).take(MAX_SHOWN).collect();
    match shown.trim() {
        trimmed if trimmed.len() == shown.len() => shown,
        trimmed => trimmed.into(),
    }
}

/// Neither a control character nor one that reorders or breaks the text around it.
fn is_harmless(c: char) -> bool {
    let reorders =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    !c.is_control() && !reorders && !breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_overrides_vanish_and_names_stay() {
        assert_eq!(for_display(" Bass Synth — Out 1-2 "), "Bass Synth — Out 1-2");
        assert_eq!(for_display("a\u{1b}[31mb\u{202e}c\u{9b}d\0"), "a[31mbcd");
        assert_eq!(for_display(&"x".repeat(500)).len(), MAX_SHOWN);
        assert_eq!(for_display("\u{202e} x \u{202e}"), "x");
    }
}
