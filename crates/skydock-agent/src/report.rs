//! What came of a turn, in one piece: for programs that do not read a stream.

use serde::Serialize;

use crate::{
    event::{Call, Ended, Event},
    message::ToolResult,
};

/// What came of a turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The conversation's name.
    pub session: String,
    /// What the model said at last.
    pub answer: String,
    /// What was called.
    pub calls: Vec<Call>,
    /// What the calls came to.
    pub results: Vec<ToolResult>,
    /// Calls that wait for the user's decision.
    pub waiting: Vec<Call>,
    /// Where passages were found that belong to the question.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// What the user should know beside the answer.
    pub notes: Vec<String>,
    /// How it ended.
    #[serde(flatten)]
    pub ended: Option<Ended>,
}

impl Report {
    /// Takes an event in.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Began { session, notice, .. } => {
                self.session.clone_from(session);
                self.notes.extend(notice.clone());
            }
            Event::Text { text } => self.answer.push_str(text),
            // what was said before it counts for nothing
            Event::Again { reason, .. } => {
                self.answer.clear();
                self.notes.push(reason.clone());
            }
            Event::Call(call) => {
                self.answer.clear();
                self.calls.push(call.clone());
            }
            Event::Result { result, .. } => self.results.push(result.clone()),
            Event::Approval { call, .. } => self.waiting.push(call.clone()),
            Event::Sources { sources } => self.sources.clone_from(sources),
            Event::Note { text } => self.notes.push(text.clone()),
            Event::Ended(ended) => self.ended = Some(ended.clone()),
            Event::Reasoning { .. } | Event::Progress { .. } | Event::Question(_) => {}
        }
    }
}
