use alloc::{vec, vec::Vec};

use crate::{
    Document, Section, Stream,
    format::MediaLine,
    warning::{Finding, Notes},
};

/// An audio section that may be a leg.
pub(crate) struct Member<'a> {
    pub(crate) section: &'a Section,
    pub(crate) media: MediaLine<'a>,
    name: Option<&'a str>,
}

impl<'a> Member<'a> {
    pub(crate) fn new(section: &'a Section, media: MediaLine<'a>) -> Self {
        let name = section.attributes("mid").map(|(_, value)| value).next();
        Self { section, media, name }
    }

    pub(crate) fn line(&self) -> Option<u16> {
        self.section.line('m').map(|line| line.number)
    }

    fn is_named(&self, name: &str) -> bool {
        self.name.is_some_and(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Puts the sections of each `group:DUP` together; every other one is a group of its own.
///
/// Groups stand where their first section stands, sections in the order received.
/// Source: RFC 5888 §5, RFC 7104 §3.
pub(crate) fn groups<'a>(
    document: &Document,
    members: Vec<Member<'a>>,
    notes: &mut Notes,
) -> Vec<Vec<Member<'a>>> {
    let mut duplications: Vec<Vec<&str>> = Vec::new();
    for (line, value) in document.sections().flat_map(|section| section.attributes("group")) {
        let mut words = value.split_whitespace();
        if words.next().is_some_and(|semantics| semantics.eq_ignore_ascii_case("DUP")) {
            let names: Vec<&str> = words.collect();
            let is_there = |name: &&str| document.media.iter().any(|section| is_mid(section, name));
            if !names.iter().all(is_there) {
                notes.add(line.number, Finding::GroupMemberMissing);
            }
            duplications.push(names);
        }
    }
    let unnamed = groups_unnamed(document, &duplications).then_some(0);
    let mut groups: Vec<(Option<usize>, Vec<Member<'a>>)> = Vec::new();
    for member in members {
        let duplication =
            duplications.iter().position(|names| names.iter().any(|name| member.is_named(name))).or(unnamed);
        match groups.iter_mut().find(|(known, _)| known.is_some() && *known == duplication) {
            Some((_, legs)) => legs.push(member),
            None => groups.push((duplication, vec![member])),
        }
    }
    groups.into_iter().map(|(_, legs)| legs).collect()
}

/// Whether the one group names as many sections as there are, and none of them says its name: all of them are meant.
fn groups_unnamed(document: &Document, duplications: &[Vec<&str>]) -> bool {
    let is_named = |section: &Section| section.attributes("mid").next().is_some();
    matches!(duplications, [names] if names.len() == document.media.len())
        && !document.media.iter().any(is_named)
}

/// The section that a leg takes attributes from which it lacks: the first audio section of its `group:DUP`, also when
/// that one itself cannot be played (port 0: switched off).
pub(crate) fn first_leg<'a>(document: &'a Document, leg: &Section) -> Option<&'a Section> {
    let values = document.sections().flat_map(|section| section.attributes("group"));
    let duplications = values.filter_map(|(_, value)| {
        let (semantics, names) = value.trim_start().split_once(char::is_whitespace)?;
        semantics.eq_ignore_ascii_case("DUP").then_some(names)
    });
    let is_in = |section: &Section, names: &str| names.split_whitespace().any(|name| is_mid(section, name));
    let mut groups = duplications.filter(|names| is_in(leg, names));
    let is_audio = |section: &&Section| {
        section
            .line('m')
            .is_some_and(|line| line.value.trim_start().to_ascii_lowercase().starts_with("audio"))
    };
    let names = groups.next()?;
    document.media.iter().filter(is_audio).find(|section| is_in(section, names))
}

fn is_mid(section: &Section, name: &str) -> bool {
    section.attributes("mid").any(|(_, value)| value.eq_ignore_ascii_case(name))
}

/// Joins the readings of one group into one stream; what differs in format stays a stream of its own.
pub(crate) fn join_legs(readings: Vec<(Option<u16>, Stream)>, notes: &mut Notes) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    for (line, reading) in readings {
        let Some(first) = streams.first_mut() else {
            streams.push(reading);
            continue;
        };
        let format = |stream: &Stream| (stream.encoding, stream.rate, stream.channels);
        if format(first) != format(&reading) {
            notes.add(line, Finding::LegFormat);
            streams.push(reading);
            continue;
        }
        if first.payload_type != reading.payload_type {
            notes.add(line, Finding::LegPayloadType);
        }
        if reading.ssrc.is_some() && reading.ssrc != first.ssrc {
            first.ssrc = None; // legs that do not share one (RFC 7104 §4.2)
        }
        for leg in reading.legs {
            let path = |leg: &crate::Leg| (leg.address, leg.port, leg.sources.clone());
            if first.legs.iter().any(|known| path(known) == path(&leg)) {
                notes.add(line, Finding::SameLeg);
            } else if first.legs.len() >= MAX_LEGS {
                notes.add(line, Finding::TooManyLegs);
            } else {
                first.legs.push(leg);
            }
        }
    }
    streams
}

const MAX_LEGS: usize = 4; // ST 2022-7 has two; senders with more have been announced
