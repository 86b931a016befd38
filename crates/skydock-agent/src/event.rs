//! What happens in a turn, told as it happens: to a terminal, a web page, or a program.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{approval::Reason, message::ToolResult, model::Usage};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// The turn has begun.
    Began {
        /// The conversation's name.
        session: String,
        /// The model's name.
        model: String,
        /// What has to be said about the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notice: Option<String>,
    },
    /// What was found for the question.
    Sources {
        /// Where the passages stand, the best one first.
        sources: Vec<String>,
    },
    /// The model says more.
    Text {
        /// What is added.
        text: String,
    },
    /// The model thinks more.
    Reasoning {
        /// What is added.
        text: String,
    },
    /// What the model has said since the last call counts for nothing; it is asked again.
    Again {
        /// Why.
        reason: String,
        /// When, in milliseconds from now.
        wait_ms: u64,
    },
    /// A tool is called.
    Call(Call),
    /// A tool tells how far it is.
    Progress {
        /// What it says.
        text: String,
    },
    /// A tool has answered.
    Result {
        /// What it answered.
        #[serde(flatten)]
        result: ToolResult,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
    /// A call waits for the user's decision. Decisions are taken when the turn has ended.
    Approval {
        /// The call.
        #[serde(flatten)]
        call: Call,
        /// Why the user is asked.
        reason: Reason,
    },
    /// A server asks the user something while it works, and waits.
    Question(Question),
    /// Something that the user should know: a server is not there, the conversation was shortened.
    Note {
        /// What.
        text: String,
    },
    /// The turn has ended.
    Ended(Ended),
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The model's name for it.
    pub id: String,
    /// The tool, as the model knows it.
    pub name: String,
    /// The tool's title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The server that has it.
    pub server: String,
    /// Its arguments.
    pub input: Value,
}

/// What a server asks the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The question's name, to be given with the answer.
    pub id: String,
    /// The server that asks.
    pub server: String,
    /// What it asks.
    pub message: String,
    /// The JSON schema of the answer; none for a page to visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The page to visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Why.
    pub outcome: Outcome,
    /// What there is to say about it: which budget, which error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How often the model was asked.
    pub turns: u32,
    /// What it cost.
    pub usage: Usage,
}

/// Why a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The model has said what it had to say.
    Answered,
    /// Calls wait for the user's decision.
    Waiting,
    /// A budget is used up; what was said so far stands.
    Budget,
    /// The answer was cut at the model's bound.
    Cut,
    /// The provider would not let the answer pass.
    Filtered,
    /// The user stopped it.
    Stopped,
    /// It failed; the detail says at what.
    Failed,
}
