use alloc::vec::Vec;

use wireloom_units::Nanos;

use super::{
    Gone, Hearing, SapError, SapEvent, SapListener, State,
    listener::{earliest, find_origin, same_session},
    session::Session,
};

/// Deletions: believed only from the host that announced.
impl SapListener {
    pub(super) fn delete(&mut self, now: Nanos, hearing: &Hearing, text: &[u8]) -> Result<(), SapError> {
        let origin = find_origin(text);
        let named = !origin.session_id.is_empty();
        let fits = |session: &Session| !named || same_session(&session.origin, &origin);
        let by_hash = |session: &Session| {
            hearing.hash != 0
                && session
                    .hearings
                    .iter()
                    .any(|known| known.hash == hearing.hash && known.origin == hearing.origin)
        };
        let candidates = |wanted: &dyn Fn(&Session) -> bool| -> Vec<u64> {
            let fitting = self.sessions.iter().filter(|(_, session)| wanted(session));
            fitting.map(|(&number, _)| number).collect()
        };
        let from_source = |session: &Session| session.is_heard_from(hearing.source);
        let whole_text = self.texts.get(&(hearing.source, hearing.digest)).copied();
        let hashed = candidates(&|session| from_source(session) && by_hash(session) && fits(session));
        let named_only = || candidates(&|session| named && from_source(session) && fits(session));
        let found = match (whole_text, &*hashed) {
            (Some(number), _) => Some(number),
            (None, &[number]) => Some(number),
            // A hash that several sessions share, or none has: only an origin that is theirs alone tells.
            (None, _) => match *named_only() {
                [number] => Some(number),
                _ => None,
            },
        };
        let Some(number) = found else {
            let of_others =
                |session: &Session| !from_source(session) && fits(session) && (named || by_hash(session));
            return Err(if candidates(&of_others).is_empty() {
                SapError::UnknownDeletion
            } else {
                SapError::Forged
            });
        };
        let Some(session) = self.sessions.get_mut(&number) else { return Err(SapError::UnknownDeletion) };
        if !session.hearings.iter().any(|known| known.source != hearing.source) {
            if !session.is_used(&self.in_use) {
                self.forget(number, Gone::Deleted);
            } else if !matches!(session.state, State::Withdrawn(_)) {
                session.state = State::Withdrawn(now);
                self.deadline = earliest(self.deadline, session.deadline());
                for id in session.ids() {
                    self.push(SapEvent::Withdrawn(id));
                }
            }
            return Ok(());
        }
        for digest in session.unhear(hearing.source) {
            self.texts.remove(&(hearing.source, digest));
        }
        Ok(())
    }
}
