//! A conversation: what was said, what is being done, and who is at it. It is stored whole after each step that must
//! not be lost, so that any process can go on with it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    approval::Reason,
    event::Outcome,
    message::{Block, Message, Role, ToolCall, ToolResult},
    model::Usage,
};

/// How long a process has a conversation for itself after it last said so.
pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(15);
/// How much of the first words is a conversation's title, in characters.
const TITLE: usize = 80;

/// A conversation of one user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// What it is about; the first words, when that was not noted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    title: String,
    /// What was said. Roles alternate; the first is the user's.
    pub messages: Vec<Message>,
    /// The calls of the last message that are not all answered yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// What it has cost so far.
    #[serde(default)]
    pub usage: Usage,
    /// Whether a turn has begun and not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) open: bool,
    /// Who is at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<Lease>,
    /// What the last turn was begun for, when whoever began it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<Mark>,
    /// How the last turn ended; none while one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ending: Option<Ending>,
}

/// What a turn is begun for: whoever finds it in a conversation knows that the turn was begun, and need not begin it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The task.
    pub(crate) task: String,
    /// Which of the task's messages.
    pub(crate) message: usize,
}

/// How a turn ended, for those who were not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// Who is at a conversation, and until when that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    holder: String,
    until: Timestamp,
}

/// A call that is not answered yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The call.
    pub call: ToolCall,
    /// The server that has the tool.
    #[serde(default)]
    pub server: String,
    /// How far it is.
    pub stand: Stand,
}

/// How far a call is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stand {
    /// The user has to decide.
    Asked(Reason),
    /// It is to be made.
    Allowed,
    /// It was made, and nobody knows yet what came of it.
    Begun,
    /// It is answered.
    Done(ToolResult),
}

/// A user's decision on a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decision {
    /// The call.
    pub id: String,
    /// Whether it may be made.
    pub approve: bool,
    /// What the model is to know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is the user's turn.
    Idle,
    /// Calls wait for the user's decision.
    Waiting,
    /// A process is at it.
    Running,
    /// The process that was at it is gone in the middle of a turn.
    Interrupted,
}

impl Conversation {
    /// How it stands at this time.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        if !self.open {
            return if self.asked().next().is_some() {
                Standing::Waiting
            } else {
                Standing::Idle
            };
        }
        match &self.lease {
            Some(lease) if lease.until > now => Standing::Running,
            _ => Standing::Interrupted,
        }
    }

    /// What it is about, in its first words.
    #[must_use]
    pub fn title(&self) -> String {
        if !self.title.is_empty() {
            return self.title.clone();
        }
        let first = self
            .messages
            .iter()
            .map(Message::text)
            .find(|text| !text.is_empty());
        let first = first.unwrap_or_default();
        let line = first.lines().next().unwrap_or_default();
        line.chars().take(TITLE).collect()
    }

    /// The calls that wait for the user's decision.
    pub fn asked(&self) -> impl Iterator<Item = (&Pending, Reason)> {
        self.pending.iter().filter_map(|pending| match pending.stand {
            Stand::Asked(reason) => Some((pending, reason)),
            _ => None,
        })
    }

    /// Whether a call of this id was made, or is to be made.
    pub(crate) fn has_call(&self, id: &str) -> bool {
        let calls = self.messages.iter().flat_map(Message::calls);
        calls.into_iter().any(|call| call.id == id)
    }

    /// Takes it for a process, which has to say so again before the lease ends; gives when that is.
    pub(crate) fn hold(&mut self, holder: &str) -> Timestamp {
        let until = Timestamp::now().saturating_add(LEASE).unwrap_or(Timestamp::MAX);
        self.open = true;
        self.lease = Some(Lease {
            holder: holder.to_owned(),
            until,
        });
        until
    }

    /// Whether this process is at it.
    pub(crate) fn is_held_by(&self, holder: &str) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.holder == holder)
    }

    /// Notes what it is about, which what is left out later does not change.
    pub(crate) fn note_title(&mut self) {
        self.title = self.title();
    }

    /// Ends a turn.
    pub(crate) fn release(&mut self) {
        self.open = false;
        self.lease = None;
    }

    /// Adds blocks in the name of `role`: to the last message when that is of the same role.
    pub(crate) fn add(&mut self, role: Role, blocks: Vec<Block>) {
        if blocks.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.blocks.extend(blocks),
            _ => self.messages.push(Message { role, blocks }),
        }
    }

    /// Decides on a call.
    ///
    /// # Errors
    /// When no such call waits for a decision.
    pub(crate) fn decide(&mut self, decision: &Decision) -> Result<(), NotAsked> {
        let pending = self
            .pending
            .iter_mut()
            .find(|pending| pending.call.id == decision.id && matches!(pending.stand, Stand::Asked(_)));
        let pending = pending.ok_or_else(|| NotAsked(decision.id.clone()))?;
        pending.stand = if decision.approve {
            Stand::Allowed
        } else {
            let note = decision.note.as_deref().unwrap_or("no reason given");
            let text = format!(
                "The user did not allow this call ({note}). Do not try it in another way; ask what they want instead."
            );
            Stand::Done(ToolResult::error(&decision.id, text))
        };
        Ok(())
    }

    /// Answers every call that is still open with what `say` has to say of it, and hands all results over.
    pub(crate) fn give_up(&mut self, say: impl Fn(&Stand) -> String) {
        for pending in &mut self.pending {
            if !matches!(pending.stand, Stand::Done(_)) {
                let text = say(&pending.stand);
                pending.stand = Stand::Done(ToolResult::error(&pending.call.id, text));
            }
        }
        self.hand_over();
    }

    /// Makes the results of all calls the user's next message, in the order of the calls, when all are there.
    pub(crate) fn hand_over(&mut self) {
        let done = |pending: &Pending| matches!(pending.stand, Stand::Done(_));
        if !self.pending.iter().all(done) {
            return;
        }
        let results = std::mem::take(&mut self.pending)
            .into_iter()
            .filter_map(|pending| match pending.stand {
                Stand::Done(result) => Some(Block::Result(result)),
                _ => None,
            });
        let results = results.collect();
        self.add(Role::User, results);
    }
}

/// No such call waits for a decision.
#[derive(Debug, thiserror::Error)]
#[error("no call {0:?} waits for a decision")]
pub struct NotAsked(pub String);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            name: "look".to_owned(),
            title: None,
            input: json!({}),
            fault: None,
        }
    }

    fn waiting() -> Conversation {
        let mut conversation = Conversation::default();
        let pending = |(id, stand)| Pending {
            call: call(id),
            server: String::new(),
            stand,
        };
        let done = Stand::Done(ToolResult::error("b", "no"));
        conversation.pending = [
            ("a", Stand::Asked(Reason::Policy)),
            ("b", done),
            ("c", Stand::Begun),
        ]
        .map(pending)
        .into();
        conversation
    }

    #[test]
    fn results_are_in_the_order_of_the_calls() {
        let mut conversation = waiting();
        conversation.hand_over();
        assert_eq!(conversation.pending.len(), 3, "not before all are there");
        conversation.give_up(|stand| format!("{stand:?}"));
        let ids: Vec<_> = conversation
            .messages
            .iter()
            .flat_map(|message| &message.blocks)
            .collect();
        let ids: Vec<_> = ids
            .iter()
            .filter_map(|block| match block {
                Block::Result(result) => Some(result.id.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(ids, ["a", "b", "c"]);
    }

    #[test]
    fn only_what_was_asked_can_be_decided_and_only_once() {
        let mut conversation = waiting();
        let mut decision = Decision {
            id: "a".to_owned(),
            approve: true,
            note: None,
        };
        conversation.decide(&decision).unwrap();
        assert!(conversation.decide(&decision).is_err());
        decision.id = "c".to_owned();
        assert!(conversation.decide(&decision).is_err());
    }

    #[test]
    fn a_lease_that_ended_tells_that_its_holder_is_gone() {
        let mut conversation = Conversation::default();
        assert_eq!(conversation.standing(Timestamp::now()), Standing::Idle);
        conversation.hold("me");
        assert_eq!(conversation.standing(Timestamp::now()), Standing::Running);
        assert_eq!(conversation.standing(Timestamp::MAX), Standing::Interrupted);
        conversation.release();
        assert_eq!(conversation.standing(Timestamp::MAX), Standing::Idle);
    }
}
