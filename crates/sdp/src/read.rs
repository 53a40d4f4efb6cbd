use alloc::vec::Vec;

use crate::{
    Document, Kind, Origin, Reason, Refusal, Section, Stream, Warning,
    audio_section::{Refused, read_section},
    display::for_display,
    format::{MediaLine, NotPlayable},
    redundancy::{Member, first_leg, groups, join_legs},
    scope::Scope,
    warning::{Finding, Notes},
};

/// What a description says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// At least one, in the order of their sections.
    pub streams: Vec<Stream>,
    /// What is not as it should be.
    pub warnings: Vec<Warning>,
}

/// What a receiver can take that others cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allow {
    /// Loopback destinations: true only for a receiver bound to the loopback interface.
    pub loopback: bool,
}

/// Reads the audio streams of a description as AES67 means them.
///
/// Tolerates what real senders write and says so in the warnings; the rules are those of RFC 4566, RFC 7273,
/// RFC 4570, RFC 7104, AES67 and ST 2110-30. Errors: a [`Refusal`] when nothing in it can be played.
pub fn read(bytes: &[u8]) -> Result<Parsed, Refusal> {
    read_with(bytes, Allow::default())
}

/// [`read`] for a receiver that can take more than others.
pub fn read_with(bytes: &[u8], allow: Allow) -> Result<Parsed, Refusal> {
    let mut notes = Notes::default();
    let documents = Document::parse_noting(bytes, &mut notes).split();
    let mut streams = Vec::new();
    let mut refused: Option<Refused> = None;
    for document in &documents {
        match read_document(document, allow, &mut notes) {
            Ok(found) => streams.extend(found),
            // Beside something playable, one without audio is as it should be.
            Err(no_audio) if no_audio.0.kind() == Kind::NoAudio => refused = refused.or(Some(no_audio)),
            Err(reason) => {
                notes.add(reason.1, Finding::Section(reason.0));
                refused = refused.filter(|&(known, _)| known.kind() != Kind::NoAudio).or(Some(reason));
            }
        }
    }
    if !streams.is_empty() {
        return Ok(Parsed { streams, warnings: notes.take() });
    }
    let (reason, line) = refused.unwrap_or((Reason::NoAudio, None));
    let names = documents.iter().filter_map(|document| document.session.line('s'));
    let name = names.map(|line| for_display(&line.value)).next().unwrap_or_default();
    let may_be_cut = reason.kind() == Kind::NoAudio || matches!(reason, Reason::NoCodec | Reason::NoAddress);
    let reason = if may_be_cut && is_cut(&notes) { Reason::Limit } else { reason };
    let mut warnings = notes.take();
    warnings.retain(|warning| *warning != Warning { line, finding: Finding::Section(reason) });
    Err(Refusal { reason, line, name, warnings })
}

fn read_document(document: &Document, allow: Allow, notes: &mut Notes) -> Result<Vec<Stream>, Refused> {
    check_session(document, notes)?;
    let origin = read_origin(&document.session, notes);
    let mut refused: Option<Refused> = None;
    let (mut nothing, mut has_malformed) = (Reason::NoAudio, false);
    let mut members: Vec<Member<'_>> = Vec::new();
    for section in &document.media {
        let Some(line) = section.line('m') else { continue };
        match MediaLine::parse(&line.value) {
            Ok(media) => members.push(Member::new(section, media)),
            Err(NotPlayable::OtherMedia) => nothing = Reason::OtherMedia,
            Err(NotPlayable::Malformed) => {
                notes.add(line.number, Finding::MediaLine);
                has_malformed = true;
            }
            Err(NotPlayable::Refused(reason)) => refuse(&mut refused, (reason, Some(line.number)), notes),
        }
    }
    let mut streams = Vec::new();
    for group in groups(document, members, notes) {
        let donor = group.first().and_then(|member| first_leg(document, member.section));
        let mut legs = Vec::new();
        for member in &group {
            let others = donor.filter(|&first| !core::ptr::eq(first, member.section));
            let scope = Scope { own: member.section, session: &document.session, first_leg: others };
            match read_section(scope, member.media, &origin, allow, notes) {
                Ok(stream) => legs.push((member.line(), stream)),
                Err(reason) => refuse(&mut refused, reason, notes),
            }
        }
        streams.extend(join_legs(legs, notes));
    }
    if !streams.is_empty() {
        return Ok(streams);
    }
    // A section that cannot be read may have been meant as audio.
    let nothing = if has_malformed { Reason::NoAudio } else { nothing };
    Err(refused.unwrap_or((nothing, None)))
}

/// Remembers the first reason; every one is a warning as long as something else can be played.
fn refuse(first: &mut Option<Refused>, refused: Refused, notes: &mut Notes) {
    notes.add(refused.1, Finding::Section(refused.0));
    first.get_or_insert(refused);
}

fn check_session(document: &Document, notes: &mut Notes) -> Result<(), Refused> {
    let session = &document.session;
    let has = |letter| session.line(letter).is_some();
    if !has('v') && !has('o') && document.media.is_empty() {
        return Err((Reason::NotSdp, None));
    }
    if let Some(line) = session.line('v').filter(|line| !matches!(line.value.parse(), Ok(0_u8))) {
        return Err((Reason::Version, Some(line.number)));
    }
    for letter in ['v', 'o', 's', 't'] {
        if !document.sections().any(|section| section.line(letter).is_some()) {
            notes.add(None, Finding::Missing(letter));
        }
    }
    for section in document.sections() {
        for letter in ['v', 'o', 's', 't', 'c'] {
            let again = section.lines.iter().filter(|line| line.letter == letter).nth(1);
            if let Some(again) = again {
                notes.add(again.number, Finding::Repeated(letter));
            }
        }
    }
    Ok(())
}

fn read_origin(session: &Section, notes: &mut Notes) -> Origin {
    let Some(line) = session.line('o') else { return Origin::default() };
    if !Origin::is_complete(&line.value) {
        notes.add(line.number, Finding::Origin);
    }
    Origin::parse(&line.value).unwrap_or_default()
}

/// Whether only the first part of the text was looked at.
fn is_cut(notes: &Notes) -> bool {
    notes.iter().any(|warning| {
        let finding = warning.finding;
        matches!(finding, Finding::TooLong | Finding::TooManyLines | Finding::TooManySections)
            || finding == Finding::TooManyAttributes
    })
}
