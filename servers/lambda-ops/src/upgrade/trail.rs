//! What our own updates leave of a function, so that a look at it shows whether it is still as we left it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::plan::digest;
use crate::account::{Configuration, UpdateState};

/// AWS takes no request that was signed longer ago: five minutes, and its tolerance for clocks.
pub(super) const SIGNED_FOR: SignedDuration = SignedDuration::from_mins(15);

/// What tells a function apart from the same function after somebody has changed it. Published versions leave it alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::upgrade) struct Footprint {
    runtime: Option<String>,
    code_sha256: Option<String>,
    /// None if it is not known: then it may be any.
    pub(super) last_modified: Option<String>,
    /// The digest of what else is compared.
    rest: String,
}

impl Footprint {
    pub(super) fn of(now: &Configuration) -> Self {
        let rest = json!([
            now.handler,
            now.role,
            now.memory_size,
            now.timeout,
            now.architectures,
            now.layers,
            now.environment_names,
            now.description,
            now.snap_start,
        ]);
        Self {
            runtime: now.runtime.clone(),
            code_sha256: now.code_sha256.clone(),
            last_modified: now.last_modified.clone(),
            rest: digest(&rest.to_string()),
        }
    }

    /// The same function on another runtime.
    fn on(&self, runtime: Option<&str>, last_modified: Option<String>) -> Self {
        Self {
            runtime: runtime.map(str::to_owned),
            last_modified,
            ..self.clone()
        }
    }

    /// True if they differ in nothing but times.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.runtime == other.runtime && self.code_sha256 == other.code_sha256 && self.rest == other.rest
    }

    /// True if they differ in nothing, as far as it is known.
    fn fits(&self, other: &Self) -> bool {
        let when = self.last_modified.as_ref().zip(other.last_modified.as_ref());
        self.is_like(other) && when.is_none_or(|(one, other)| one == other)
    }
}

/// The revisions that a change has seen, and those of them that an update of its own has left behind.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct Revisions {
    past: Vec<String>,
    seen: Vec<String>,
}

impl Revisions {
    /// The function was seen at this revision.
    pub(super) fn saw(&mut self, revision: Option<&str>) {
        if let Some(revision) = revision
            && !self.past.iter().chain(&self.seen).any(|known| known == revision)
        {
            self.seen.push(revision.to_owned());
        }
    }

    /// Our own update moved the function on. (Some stand-ins for AWS move nothing.)
    pub(super) fn moved(&mut self, from: Option<&str>, to: Option<&str>) {
        self.saw(from);
        let Some(to) = to.filter(|to| Some(*to) != from) else {
            return;
        };
        self.past.append(&mut self.seen);
        self.past.retain(|past| past != to);
        self.seen.push(to.to_owned());
    }

    /// Those left behind.
    pub(super) fn past(&self) -> &[String] {
        &self.past
    }

    /// The last one seen.
    pub(super) fn last(&self) -> Option<&str> {
        self.seen.last().map(String::as_str)
    }

    /// True if what was read is older than our last update.
    fn is_past(&self, revision: Option<&str>) -> bool {
        revision.is_some_and(|revision| self.past.iter().any(|past| past == revision))
    }
}

/// What a look at the function shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// An older state than we know of: AWS shows updates late.
    Past,
    /// The old runtime: the update has not come, or was undone by us.
    Old,
    /// The new runtime, as our update left it.
    New,
    /// Somebody else has changed the function.
    Foreign,
}

/// One update, and what it and its undoing leave.
#[derive(Debug, Clone)]
pub(in crate::upgrade) struct Trail {
    pub(super) revisions: Revisions,
    /// The revision that the update was sent to: AWS takes it at no other.
    pub(super) sent_to: Option<String>,
    sent_at: Timestamp,
    /// True once AWS is known to have taken the update.
    pub(super) taken: bool,
    before: Footprint,
    new: Footprint,
    /// None until the old runtime was sent.
    back: Option<Footprint>,
}

impl Trail {
    /// An update that is sent at `sent_at` to a function that is as `before` says.
    pub(super) fn new(
        mut revisions: Revisions,
        before: Footprint,
        to: &str,
        sent_to: Option<String>,
        sent_at: Timestamp,
    ) -> Self {
        revisions.moved(None, sent_to.as_deref());
        Self {
            revisions,
            sent_to,
            sent_at,
            taken: false,
            new: before.on(Some(to), None),
            before,
            back: None,
        }
    }

    /// AWS took the update, at this revision and time.
    pub(super) fn took(&mut self, revision: Option<&str>, last_modified: Option<String>) {
        self.taken = true;
        self.revisions.moved(self.sent_to.as_deref(), revision);
        self.new.last_modified = last_modified;
    }

    /// What the update left.
    pub(super) fn new_footprint(&self) -> &Footprint {
        &self.new
    }

    /// The old runtime is being sent: it may be in force from now on, by our own doing.
    pub(super) fn may_be_back(&mut self) {
        if self.back.is_none() {
            self.back = Some(self.before.on(self.before.runtime.as_deref(), None));
        }
    }

    /// The old runtime was not sent after all.
    pub(super) fn is_not_back(&mut self) {
        self.back.take_if(|back| back.last_modified.is_none());
    }

    /// AWS took the old runtime.
    pub(super) fn went_back(&mut self, from: Option<&str>, to: Option<&str>, last_modified: Option<String>) {
        self.revisions.moved(from, to);
        self.back = Some(self.before.on(self.before.runtime.as_deref(), last_modified));
    }

    /// True if the update cannot come any more although nothing has moved the function on from where it was sent to.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.sent_at) > SIGNED_FOR
    }

    /// Whose doing a look shows.
    pub(super) fn shown(&self, now: &Configuration) -> Shown {
        if self.revisions.is_past(now.revision_id.as_deref()) {
            return Shown::Past;
        }
        let here = Footprint::of(now);
        if matches!(now.last_update, UpdateState::Failed(_))
            && let Some(shown) = self.shown_by_a_failure(&here)
        {
            return shown;
        }
        let as_before = self.before.last_modified.is_some() && self.before.fits(&here);
        if let Some(back) = self.back.as_ref().filter(|back| back.fits(&here)) {
            let late = back.last_modified.is_none() && self.taken && as_before;
            return if late { Shown::Past } else { Shown::Old };
        }
        // What AWS does to the time of $LATEST when an update settles or a version is published is not documented, so a
        // time that differs is no proof of somebody else.
        if self.back.as_ref().is_some_and(|back| back.is_like(&here)) && !as_before {
            return Shown::Old;
        }
        if self.new.is_like(&here) {
            let undone = self
                .back
                .as_ref()
                .is_some_and(|back| back.last_modified.is_some());
            return match (undone, &self.new.last_modified) {
                (false, _) => Shown::New,
                (true, Some(_)) => Shown::Past,
                // an update of ours that never came cannot come any more
                (true, None) => Shown::Foreign,
            };
        }
        match (self.before.fits(&here), self.taken) {
            (true, true) => Shown::Past,
            (true, false) => Shown::Old,
            (false, _) => Shown::Foreign,
        }
    }

    /// AWS may show either runtime after an update of ours that it could not apply; the time is that of the update.
    fn shown_by_a_failure(&self, here: &Footprint) -> Option<Shown> {
        let ours = [Some(&self.new), self.back.as_ref()];
        let mut ours = ours
            .into_iter()
            .flatten()
            .filter_map(|left| left.last_modified.as_ref());
        if !ours.any(|time| here.last_modified.as_ref() == Some(time)) {
            return None;
        }
        let on = |runtime: &Option<String>| self.before.on(runtime.as_deref(), None).is_like(here);
        if on(&self.before.runtime) {
            Some(Shown::Old)
        } else {
            on(&self.new.runtime).then_some(Shown::New)
        }
    }

    /// What somebody else did, in words.
    pub(super) fn foreign(&self, now: &Configuration) -> String {
        let shown = now.runtime.as_deref().unwrap_or("none");
        let same = now.runtime == self.new.runtime || (now.runtime == self.before.runtime && !self.taken);
        let under_way = match now.last_update {
            UpdateState::InProgress => ", which is still in progress",
            UpdateState::Failed(_) => ", which AWS could not apply",
            UpdateState::Successful => "",
        };
        if same {
            format!("somebody else changed the function meanwhile, with its runtime at {shown}{under_way}")
        } else {
            format!("somebody else set the runtime to {shown} meanwhile{under_way}")
        }
    }
}

/// The runtime that is in force, if a look tells.
pub(super) fn in_force(now: &Configuration) -> Option<String> {
    let applied = now.last_update == UpdateState::Successful;
    now.runtime.clone().filter(|_| applied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(revision: &str) -> Option<String> {
        Some(revision.to_owned())
    }

    #[test]
    fn every_revision_before_the_last_update_is_the_past() {
        let mut revisions = Revisions::default();
        revisions.saw(Some("read"));
        let mut trail = Trail::new(
            revisions,
            Footprint::default(),
            "nodejs24.x",
            at("saved"),
            Timestamp::now(),
        );
        trail.took(Some("updated"), None);
        trail.revisions.saw(Some("settled"));
        trail.went_back(Some("published"), Some("back"), None);
        for past in ["read", "saved", "updated", "settled", "published"] {
            assert!(trail.revisions.is_past(Some(past)), "{past}");
        }
        assert!(!trail.revisions.is_past(Some("back")) && !trail.revisions.is_past(Some("unknown")));
    }

    #[test]
    fn a_stand_in_that_moves_nothing_shows_no_past() {
        let mut trail = Trail::new(
            Revisions::default(),
            Footprint::default(),
            "nodejs24.x",
            at("always"),
            Timestamp::now(),
        );
        trail.took(Some("always"), None);
        trail.went_back(Some("always"), Some("always"), None);
        assert!(!trail.revisions.is_past(Some("always")));
    }
}
