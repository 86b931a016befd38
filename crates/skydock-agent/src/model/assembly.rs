//! Pieces of an answer, put together.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Part, Piece, Stop, Usage};
use crate::message::{Block, Message, Reasoning, Role, ToolCall};

/// The longest arguments of one call that are put together, in bytes.
const LONGEST_INPUT: usize = 1 << 20;

/// An answer that is being put together.
#[derive(Debug, Default)]
pub struct Assembly {
    blocks: BTreeMap<usize, Open>,
    stop: Stop,
    usage: Usage,
}

#[derive(Debug)]
enum Open {
    Text(String),
    Reasoning(Reasoning),
    Call {
        id: String,
        name: String,
        input: String,
        /// Whether something was left out of the input.
        over: bool,
    },
}

impl Assembly {
    /// Adds a piece.
    pub fn add(&mut self, Piece { block, what }: Piece) {
        match what {
            Part::Text(more) => match self
                .blocks
                .entry(block)
                .or_insert_with(|| Open::Text(String::new()))
            {
                Open::Text(text) => text.push_str(&more),
                // a provider that numbers its blocks wrongly loses words, and no call
                Open::Reasoning(_) | Open::Call { .. } => {}
            },
            Part::Reasoning(more) => {
                let open = self
                    .blocks
                    .entry(block)
                    .or_insert_with(|| Open::Reasoning(Reasoning::default()));
                if let Open::Reasoning(reasoning) = open {
                    reasoning.text.push_str(&more.text);
                    reasoning.signature = more.signature.or(reasoning.signature.take());
                    reasoning.redacted = more.redacted.or(reasoning.redacted.take());
                }
            }
            Part::Call { id, name } => {
                let input = String::new();
                let call = Open::Call {
                    id,
                    name,
                    input,
                    over: false,
                };
                self.blocks.insert(block, call);
            }
            Part::Input(more) => {
                if let Some(Open::Call { input, over, .. }) = self.blocks.get_mut(&block) {
                    *over |= input.len().saturating_add(more.len()) > LONGEST_INPUT;
                    if !*over {
                        input.push_str(&more);
                    }
                }
            }
            Part::Stop(stop) => self.stop = stop,
            Part::Usage(usage) => self.usage += usage,
        }
    }

    /// The message, why it ended, and what it cost.
    #[must_use]
    pub fn finish(self) -> (Message, Stop, Usage) {
        let blocks = self.blocks.into_values().filter_map(close).collect();
        let role = Role::Assistant;
        (Message { role, blocks }, self.stop, self.usage)
    }
}

fn close(open: Open) -> Option<Block> {
    match open {
        Open::Text(text) => (!text.is_empty()).then_some(Block::Text { text }),
        Open::Reasoning(reasoning) => Some(Block::Reasoning(reasoning)),
        Open::Call {
            id,
            name,
            input,
            over,
        } => {
            let (input, fault) = if over {
                let fault = format!("the arguments are longer than {LONGEST_INPUT} bytes");
                (Value::Object(Map::new()), Some(fault))
            } else {
                read(&input)
            };
            Some(Block::Call(ToolCall {
                id,
                name,
                title: None,
                input,
                fault,
            }))
        }
    }
}

/// The arguments of a call. Providers write none as an empty text.
fn read(input: &str) -> (Value, Option<String>) {
    if input.trim().is_empty() {
        return (Value::Object(Map::new()), None);
    }
    match serde_json::from_str(input) {
        Ok(Value::Object(object)) => (Value::Object(object), None),
        Ok(_) => (
            Value::Object(Map::new()),
            Some("the arguments are not a JSON object".to_owned()),
        ),
        Err(error) => (
            Value::Object(Map::new()),
            Some(format!("the arguments are not JSON: {error}")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn assembled(pieces: impl IntoIterator<Item = (usize, Part)>) -> (Message, Stop, Usage) {
        let mut assembly = Assembly::default();
        for (block, what) in pieces {
            assembly.add(Piece { block, what });
        }
        assembly.finish()
    }

    fn call(id: &str) -> Part {
        Part::Call {
            id: id.to_owned(),
            name: "look".to_owned(),
        }
    }

    #[test]
    fn pieces_of_several_blocks_may_come_mixed() {
        let (message, stop, _) = assembled([
            (0, Part::Text("I ".to_owned())),
            (1, call("a")),
            (2, call("b")),
            (1, Part::Input("{\"x\":".to_owned())),
            (2, Part::Input(String::new())),
            (0, Part::Text("look.".to_owned())),
            (1, Part::Input("1}".to_owned())),
            (2, Part::Stop(Stop::ToolUse)),
        ]);
        assert_eq!(message.text(), "I look.");
        let inputs: Vec<_> = message.calls().map(|call| call.input.clone()).collect();
        assert_eq!(inputs, [json!({"x": 1}), json!({})]);
        assert_eq!(stop, Stop::ToolUse);
    }

    #[test]
    fn arguments_that_cannot_be_read_say_so() {
        for input in ["{\"x\":", "[1]", "\"x\""] {
            let (message, ..) = assembled([(0, call("a")), (0, Part::Input(input.to_owned()))]);
            let call = message.calls().next().unwrap();
            assert!(call.fault.is_some(), "{input}");
            assert_eq!(call.input, json!({}));
        }
    }

    #[test]
    fn reasoning_keeps_its_signature() {
        let words = |text: &str, signature: Option<&str>| {
            Part::Reasoning(Reasoning {
                text: text.to_owned(),
                signature: signature.map(str::to_owned),
                ..Reasoning::default()
            })
        };
        let (message, ..) = assembled([
            (0, words("a", None)),
            (0, words("b", None)),
            (0, words("", Some("s"))),
        ]);
        let expected = Reasoning {
            text: "ab".to_owned(),
            signature: Some("s".to_owned()),
            ..Reasoning::default()
        };
        assert_eq!(message.blocks, [Block::Reasoning(expected)]);
    }
}
