//! Making a conversation shorter when it does not fit into the model: long results of tools first, then what was said
//! long ago, of which a summary stays.

use super::{End, Run};
use crate::{
    event::{Event, Outcome},
    message::{Block, Message, Role},
    model::{Failure, Request, answer},
};

/// The longest result that an old call keeps, in bytes.
const KEPT: usize = 1_024;
/// The longest text that is summarised at once, in bytes.
const LONGEST: usize = 100_000;
const SYSTEM: &str = "You summarise conversations for the assistant that leads them. Keep what was decided, names, dates, numbers and \
                      identifiers, what the user wants, and what is still open. Write nothing else.";

impl Run {
    /// Makes the conversation shorter.
    pub(super) async fn compact(&mut self) -> Result<(), End> {
        let text = "The conversation is too long for the model and is made shorter.".to_owned();
        self.listener.tell(Event::Note { text }).await;
        // an answer that was cut off where the model was full is asked for anew
        while self
            .conversation
            .messages
            .last()
            .is_some_and(|last| last.role == Role::Assistant)
        {
            self.conversation.messages.pop();
        }
        if shorten(&mut self.conversation.messages) {
            return Ok(());
        }
        let Some(keep) = boundary(&self.conversation.messages) else {
            let detail = "what was said last is too long for the model by itself".to_owned();
            return Err(End::With(Outcome::Failed, Some(detail)));
        };
        let rest = self.conversation.messages.split_off(keep);
        let old = std::mem::take(&mut self.conversation.messages);
        let summary = match self.summarise(&old).await {
            Ok(summary) => summary,
            Err(failure) => {
                tracing::warn!(error = %failure, "what was said could not be summarised");
                "(What was said before this was left out, as it did not fit.)".to_owned()
            }
        };
        let text = format!("Summary of what was said before:\n{summary}");
        self.conversation.add(Role::User, vec![Block::Text { text }]);
        for message in rest {
            self.conversation.add(message.role, message.blocks);
        }
        Ok(())
    }

    async fn summarise(&mut self, old: &[Message]) -> Result<String, Failure> {
        let mut text = transcript(old);
        if text.len() > LONGEST {
            let from = text.ceil_char_boundary(text.len().saturating_sub(LONGEST));
            text = text.split_off(from);
        }
        let messages = [Message::user(text)];
        let request = Request {
            system: SYSTEM,
            messages: &messages,
            tools: &[],
            max_tokens: Some(1_000),
            user: self.keeper.user(),
        };
        let (message, _, usage) = answer(&*self.parts.model, request).await?;
        self.usage += usage;
        self.conversation.usage += usage;
        Ok(message.text())
    }
}

/// Cuts long results of tools, those of the last message excepted; false when there are none.
fn shorten(messages: &mut [Message]) -> bool {
    let mut cut = false;
    let Some((_, old)) = messages.split_last_mut() else {
        return false;
    };
    for block in old.iter_mut().flat_map(|message| &mut message.blocks) {
        let Block::Result(result) = block else { continue };
        result.structured = None;
        if result.text.len() > KEPT {
            result
                .text
                .truncate(result.text.floor_char_boundary(KEPT.saturating_sub(64)));
            result.text.push_str("\n[the rest was left out]");
            cut = true;
        }
    }
    cut
}

/// Where the user began to speak of what is kept: the last time that a user's words begin a message, or the time
/// before it when nothing is said before that.
fn boundary(messages: &[Message]) -> Option<usize> {
    let begins = |message: &Message| {
        message.role == Role::User && !message.has_results() && !message.text().is_empty()
    };
    messages.iter().rposition(begins).filter(|index| *index > 0)
}

fn transcript(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        for block in &message.blocks {
            let line = match (message.role, block) {
                (Role::User, Block::Text { text }) => format!("User: {text}\n"),
                (Role::Assistant, Block::Text { text }) => format!("Assistant: {text}\n"),
                (_, Block::Call(call)) => format!("Assistant calls {} with {}\n", call.name, call.input),
                (_, Block::Result(result)) => format!("It answers: {}\n", result.text),
                (_, Block::Passage(_) | Block::Reasoning(_)) => continue,
            };
            text.push_str(&line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToolResult;

    fn result(text: &str) -> Message {
        let result = ToolResult {
            id: "a".to_owned(),
            text: text.to_owned(),
            structured: None,
            is_error: false,
        };
        Message {
            role: Role::User,
            blocks: vec![Block::Result(result)],
        }
    }

    #[test]
    fn long_old_results_go_first_and_only_once() {
        let long = "ä".repeat(2_000);
        let mut messages = vec![
            Message::user("q"),
            result(&long),
            Message::assistant("a"),
            result(&long),
        ];
        assert!(shorten(&mut messages));
        let Block::Result(old) = &messages[1].blocks[0] else {
            panic!()
        };
        assert!(old.text.len() <= KEPT && old.text.ends_with("left out]"));
        assert_eq!(
            messages[3],
            result(&long),
            "the last one is what the model needs now"
        );
        assert!(!shorten(&mut messages));
    }

    #[test]
    fn what_the_user_said_last_is_kept() {
        let messages = [
            Message::user("one"),
            Message::assistant("a"),
            Message::user("two"),
            Message::assistant("b"),
            result("r"),
        ];
        assert_eq!(boundary(&messages), Some(2));
        assert_eq!(boundary(messages.get(..2).unwrap()), None);
    }
}
