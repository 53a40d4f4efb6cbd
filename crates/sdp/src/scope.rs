use alloc::vec::Vec;

use crate::{Line, Section};

/// Where an attribute of one media section may come from: the section, else the session, else the first leg
/// of the group it belongs to; never an unrelated section.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) own: &'a Section,
    pub(crate) session: &'a Section,
    pub(crate) first_leg: Option<&'a Section>,
}

impl<'a> Scope<'a> {
    /// All attributes of that name in the nearest section that has any.
    pub(crate) fn attributes(&self, name: &'a str) -> Vec<(&'a Line, &'a str)> {
        let sections = [Some(self.own), Some(self.session), self.first_leg];
        let found =
            sections.into_iter().flatten().map(|section| section.attributes(name).collect::<Vec<_>>());
        found.into_iter().find(|lines| !lines.is_empty()).unwrap_or_default()
    }

    /// The value of the first attribute of that name.
    pub(crate) fn attribute(&self, name: &'a str) -> Option<&'a str> {
        self.attributes(name).first().map(|&(_, value)| value)
    }

    /// The line with that letter, of the section, else of the session.
    pub(crate) fn line(&self, letter: char) -> Option<&'a Line> {
        self.own.line(letter).or_else(|| self.session.line(letter))
    }

    /// The direction attribute that counts: the section's, else the session's; `inactive` before any other.
    pub(crate) fn direction(&self) -> Option<&'static str> {
        const DIRECTIONS: [&str; 4] = ["inactive", "sendonly", "sendrecv", "recvonly"];
        let in_section =
            |section: &Section| DIRECTIONS.into_iter().find(|name| section.attributes(name).next().is_some());
        in_section(self.own).or_else(|| in_section(self.session))
    }
}
