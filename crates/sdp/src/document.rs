use alloc::{string::String, vec::Vec};
use core::fmt::Write as _;

use crate::warning::{Finding, Notes, Warning};

/// The lines of a description as they came: every line that has the form of SDP, understood or not.
///
/// Emitting a parsed document gives the same lines back, in order, with CRLF and without blanks around them.
/// Source: RFC 4566 §5, loosened as real senders need it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Everything before the first `m=`.
    pub session: Section,
    /// One section for each `m=`, beginning with that line.
    pub media: Vec<Section>,
}

/// The lines of the session part or of one media section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// In the order received.
    pub lines: Vec<Line>,
}

/// One line, `letter=value`.
#[derive(Debug, Clone)]
pub struct Line {
    /// The type letter.
    pub letter: char,
    /// What follows the equals sign, without blanks around it.
    pub value: String,
    /// Its number in the received text, counted from 1 with empty lines; not part of equality.
    pub number: u16,
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.letter == other.letter && self.value == other.value
    }
}

impl Eq for Line {}

impl Document {
    /// Splits received octets into lines and sections; whatever is not SDP is skipped with a warning.
    ///
    /// Stops at 8 KiB, 512 lines, 16 media sections, 64 attributes in a section, 2 KiB in a line
    /// and keeps what came before.
    pub fn parse(bytes: &[u8]) -> (Self, Vec<Warning>) {
        let mut notes = Notes::default();
        let document = Self::parse_noting(bytes, &mut notes);
        (document, notes.take())
    }

    pub(crate) fn parse_noting(bytes: &[u8], notes: &mut Notes) -> Self {
        let text = decode(within_limit(bytes, notes), notes);
        let mut document = Self::default();
        let mut attributes = 0;
        for (number, line) in lines(&text).filter(|(_, line)| !line.is_empty()).take(MAX_LINES + 1) {
            if document.line_count() >= MAX_LINES {
                notes.add(number, Finding::TooManyLines);
                break;
            }
            let Some((letter, value)) = split(line) else {
                notes.add(number, Finding::NotALine);
                continue;
            };
            if line.len() > MAX_LINE {
                notes.add(number, Finding::LongLine);
                continue;
            }
            if letter == 'm' {
                if document.media.len() >= MAX_SECTIONS {
                    notes.add(number, Finding::TooManySections);
                    break;
                }
                document.media.push(Section::default());
                attributes = 0;
            }
            attributes += usize::from(letter == 'a');
            if letter == 'a' && attributes > MAX_ATTRIBUTES {
                if attributes == MAX_ATTRIBUTES + 1 {
                    notes.add(number, Finding::TooManyAttributes);
                }
                continue;
            }
            let section = document.media.last_mut().unwrap_or(&mut document.session);
            section.lines.push(Line { letter, value: value.into(), number });
        }
        document
    }

    /// Writes the lines with CRLF after each.
    pub fn emit(&self) -> String {
        let mut text = String::new();
        for line in self.sections().flat_map(|section| &section.lines) {
            let _ = write!(text, "{}={}\r\n", line.letter, line.value); // a String takes everything
        }
        text
    }

    /// The descriptions in it, one or more: some units write one for each of their streams into one text. Another one
    /// begins with a `v=` behind the media sections of one that has its own.
    pub(crate) fn split(self) -> Vec<Self> {
        let mut documents = Vec::new();
        let mut current = Self { session: self.session, media: Vec::new() };
        for mut section in self.media {
            let is_next = |line: &Line| line.letter == 'v' && current.session.line('v').is_some();
            let next = section.lines.iter().position(is_next).map(|at| section.lines.split_off(at));
            current.media.push(section);
            if let Some(lines) = next {
                let next = Self { session: Section { lines }, media: Vec::new() };
                documents.push(core::mem::replace(&mut current, next));
            }
        }
        documents.push(current);
        documents
    }

    /// The session part, then the media sections.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &Section> {
        core::iter::once(&self.session).chain(&self.media)
    }

    fn line_count(&self) -> usize {
        self.sections().map(|section| section.lines.len()).sum()
    }
}

impl Section {
    /// The first line with this letter.
    pub fn line(&self, letter: char) -> Option<&Line> {
        self.lines.iter().find(|line| line.letter == letter)
    }

    /// Every attribute of that name (lower case), with its value; empty for a flag.
    pub fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Line, &'a str)> {
        self.lines.iter().filter_map(move |line| {
            let (found, value) = line.attribute()?;
            found.eq_ignore_ascii_case(name).then_some((line, value))
        })
    }
}

impl Line {
    /// Name and value of an `a=` line, both trimmed.
    pub fn attribute(&self) -> Option<(&str, &str)> {
        if self.letter != 'a' {
            return None;
        }
        let (name, value) = self.value.split_once(':').unwrap_or((&self.value, ""));
        Some((name.trim(), value.trim()))
    }
}

/// The octets that are looked at: all, or whole lines up to 8 KiB.
fn within_limit<'a>(bytes: &'a [u8], notes: &mut Notes) -> &'a [u8] {
    let Some(head) = bytes.get(..MAX_OCTETS).filter(|head| head.len() < bytes.len()) else {
        return bytes;
    };
    notes.add(None, Finding::TooLong);
    let end = head.iter().rposition(|&octet| octet == b'\n' || octet == b'\r').unwrap_or(0);
    head.get(..end).unwrap_or_default()
}

/// The text of a description as senders and tools write it (UTF-8, UTF-16 with a byte order mark, else Latin-1), fit to
/// be sent as a string: NUL is left out, which would end a connection to D-Bus.
///
/// Reads all of `bytes`; [`crate::read`] finds in the text what it finds in the octets.
pub fn to_text(bytes: &[u8]) -> String {
    decode(bytes, &mut Notes::default()).replace('\0', "")
}

/// UTF-16 when a byte order mark says so (a file saved by a Windows tool), else UTF-8 and Latin-1.
fn decode(bytes: &[u8], notes: &mut Notes) -> String {
    let units = |from_pair: fn([u8; 2]) -> u16| {
        let pairs = bytes.get(2..).unwrap_or_default().chunks_exact(2);
        let units = pairs.map(move |pair| pair.try_into().map_or(0, from_pair));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => return units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => return units(u16::from_be_bytes),
        _ => {}
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (text, is_utf_8) = decode_mixed(bytes);
    if !is_utf_8 {
        notes.add(None, Finding::NotUtf8);
    }
    text
}

/// UTF-8, and Latin-1 for those octets only that are none: a name that was cut within a character leaves the rest as it
/// is. Also whether all of it was UTF-8.
pub(crate) fn decode_mixed(bytes: &[u8]) -> (String, bool) {
    let (mut text, mut is_utf_8) = (String::with_capacity(bytes.len()), true);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().copied().map(char::from));
        is_utf_8 &= chunk.invalid().is_empty();
    }
    (text, is_utf_8)
}

/// Lines ended by CRLF, LF or a lone CR, numbered from 1, without blanks, tabs and NUL at both ends.
fn lines(text: &str) -> impl Iterator<Item = (u16, &str)> {
    let mut rest = Some(text);
    let mut number = 0_u16;
    core::iter::from_fn(move || {
        let text = rest?;
        number = number.saturating_add(1);
        let Some((line, after)) = text.split_once(['\r', '\n']) else {
            rest = None;
            return Some((number, clean(text)));
        };
        let crlf = text.as_bytes().get(line.len()) == Some(&b'\r');
        rest = Some(if crlf { after.strip_prefix('\n').unwrap_or(after) } else { after });
        Some((number, clean(line)))
    })
}

fn clean(line: &str) -> &str {
    line.trim_matches(|c: char| c == '\0' || c == '\u{feff}' || c.is_whitespace())
}

/// `letter [blank] = value`.
fn split(line: &str) -> Option<(char, &str)> {
    let (letter, value) = line.split_once('=')?;
    let mut letters = letter.trim_end().chars();
    let letter = letters.next().filter(char::is_ascii_alphabetic)?;
    letters.next().is_none().then_some((letter, value.trim()))
}

// Several times what any real description needs; a hostile one is cut here.
const MAX_OCTETS: usize = 8192;
const MAX_LINES: usize = 512;
const MAX_SECTIONS: usize = 16;
const MAX_ATTRIBUTES: usize = 64;
const MAX_LINE: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};

    fn parse(bytes: &[u8]) -> (Document, Vec<Finding>) {
        let (document, warnings) = Document::parse(bytes);
        (document, warnings.into_iter().map(|warning| warning.finding).collect())
    }

    #[test]
    fn every_line_end_and_blank_gives_the_same_lines() {
        let (plain, notes) = parse(b"v=0\r\ns=x y\r\na=b: c\r\n");
        assert_eq!(notes, []);
        for text in [
            &b"v=0\ns=x y\na=b: c"[..],
            b"v=0\rs=x y\ra=b: c\r",
            b"\xef\xbb\xbfv=0 \n\n\t s = x y\0\r\n a=b: c\n\0\0\0",
            b"\xff\xfev\0=\x000\0\n\0s\0=\0x\0 \0y\0\n\0a\0=\0b\0:\0 \0c\0\n\0",
        ] {
            assert_eq!(parse(text), (plain.clone(), vec![]), "{text:?}");
        }
    }

    #[test]
    fn the_text_says_what_the_octets_say_without_nul() {
        let text = "v=0\ns=été\n";
        let utf_16: Vec<u8> = "\u{feff}v=0\ns=été\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in
            [text.as_bytes(), b"v=0\ns=\xe9t\xe9\n\0\0", b"\xef\xbb\xbfv=0\ns=\xc3\xa9t\0\xc3\xa9\n", &utf_16]
        {
            assert_eq!(to_text(bytes), text, "{bytes:?}");
        }
    }

    #[test]
    fn one_octet_that_is_not_utf_8_does_not_spoil_the_rest() {
        // A name that was cut within a character, and a label of an older unit.
        let (document, notes) = parse("s=Bühne\ni=2 channels: Höhe\n".as_bytes());
        assert_eq!(notes, []);
        let (cut, notes) = parse(b"s=B\xc3\xbchne\ni=2 channels: H\xf6he\n");
        assert_eq!((cut, &*notes), (document, &[Finding::NotUtf8][..]));
        assert_eq!(parse(b"s=B\xc3\xbchne \xc3\n").0.emit(), "s=Bühne Ã\r\n");
    }

    #[test]
    fn numbers_count_received_lines() {
        let (document, _) = parse(b"v=0\r\n\r\ns=x\n\rm=audio");
        let numbers: Vec<u16> = document.sections().flat_map(|s| &s.lines).map(|l| l.number).collect();
        assert_eq!(numbers, [1, 3, 5]);
    }

    #[test]
    fn what_is_not_a_line_is_skipped() {
        let (document, notes) = parse(b"v=0\nhello\n=x\n1=x\nab=c\ns=\xe9t\xe9\n");
        assert_eq!(document.emit(), "v=0\r\ns=été\r\n");
        assert_eq!(
            notes,
            [Finding::NotUtf8, Finding::NotALine, Finding::NotALine, Finding::NotALine, Finding::NotALine]
        );
    }

    #[test]
    fn limits_keep_what_came_before() {
        let text = format!("v=0\nm=audio\n{}", "a=x\n".repeat(10_000));
        let (document, notes) = parse(text.as_bytes());
        assert_eq!(document.media[0].lines.len(), 1 + MAX_ATTRIBUTES);
        assert!(notes.contains(&Finding::TooLong) && notes.contains(&Finding::TooManyAttributes));
        let (document, notes) = parse("m=x\n".repeat(17).as_bytes());
        assert_eq!((document.media.len(), &*notes), (16, &[Finding::TooManySections][..]));
        let (document, notes) = parse("b=x\n".repeat(600).as_bytes());
        assert_eq!((document.session.lines.len(), &*notes), (512, &[Finding::TooManyLines][..]));
        let (_, notes) = parse(format!("s={}", "x".repeat(2048)).as_bytes());
        assert_eq!(notes, [Finding::LongLine]);
    }
}
