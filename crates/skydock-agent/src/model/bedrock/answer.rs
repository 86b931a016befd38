//! What Bedrock says, as pieces.

use std::{collections::VecDeque, time::Duration};

use aws_sdk_bedrockruntime::{
    operation::converse::ConverseOutput as Output,
    primitives::event_stream::EventReceiver,
    types::{
        ContentBlock, ContentBlockDelta, ContentBlockStart, ConverseOutput, ConverseStreamOutput as Event,
        ReasoningContentBlock, ReasoningContentBlockDelta, StopReason, TokenUsage,
        error::ConverseStreamOutputError,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt as _, stream};

use super::{
    super::{Failure, Part, Patience, Piece, Pieces, Stop, Usage},
    failure::{self, Asked},
    request,
};
use crate::message::Reasoning;

type Receiver = EventReceiver<Event, ConverseStreamOutputError>;

/// An answer that is being read.
struct Reading {
    events: Receiver,
    pieces: VecDeque<Piece>,
    patience: Patience,
    asked: Asked,
    calls: bool,
    /// How long the next event may take: a model that reads a long prompt, or thinks, says nothing for longer at first.
    wait: Duration,
    stopped: bool,
    ended: bool,
}

/// The pieces of an answer that comes.
pub(super) fn pieces(events: Receiver, patience: Patience, asked: Asked) -> Pieces {
    let reading = Reading {
        events,
        pieces: VecDeque::new(),
        patience,
        asked,
        calls: false,
        wait: patience.first,
        stopped: false,
        ended: false,
    };
    let pieces = stream::try_unfold(reading, |mut reading| async move {
        loop {
            if let Some(piece) = reading.pieces.pop_front() {
                return Ok(Some((piece, reading)));
            }
            if reading.ended {
                return Ok(None);
            }
            reading.read().await?;
        }
    });
    pieces.boxed()
}

impl Reading {
    async fn read(&mut self) -> Result<(), Failure> {
        let event = failure::patiently(self.wait, self.events.recv()).await;
        let event = event.and_then(|event| event.map_err(|error| failure::of_stream(error, &self.asked)));
        self.wait = self.patience.next;
        if self.stopped && event.is_err() {
            // all is said; what is missing is what it has cost
            self.ended = true;
            return Ok(());
        }
        match event? {
            Some(event) => self.hear(event),
            None if self.stopped => self.ended = true,
            None => {
                return Err(Failure::Unavailable(
                    "the answer was cut off before its end".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::ContentBlockStart(begun) => {
                if let Some(ContentBlockStart::ToolUse(call)) = begun.start {
                    self.calls = true;
                    let (id, name) = (call.tool_use_id, call.name);
                    self.add(begun.content_block_index, Part::Call { id, name });
                }
            }
            Event::ContentBlockDelta(more) => {
                if let Some(part) = more.delta.and_then(part) {
                    self.add(more.content_block_index, part);
                }
            }
            Event::MessageStop(end) => {
                self.stopped = true;
                self.add(0, Part::Stop(stop(&end.stop_reason, self.calls)));
            }
            Event::Metadata(about) => {
                if let Some(usage) = about.usage {
                    self.add(0, Part::Usage(cost(&usage)));
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, index: i32, what: Part) {
        let block = usize::try_from(index).unwrap_or_default();
        self.pieces.push_back(Piece { block, what });
    }
}

fn part(delta: ContentBlockDelta) -> Option<Part> {
    match delta {
        ContentBlockDelta::Text(text) => Some(Part::Text(text)),
        ContentBlockDelta::ToolUse(more) => Some(Part::Input(more.input)),
        ContentBlockDelta::ReasoningContent(more) => {
            let mut reasoning = Reasoning::default();
            match more {
                ReasoningContentBlockDelta::Text(text) => reasoning.text = text,
                ReasoningContentBlockDelta::Signature(signature) => reasoning.signature = Some(signature),
                ReasoningContentBlockDelta::RedactedContent(kept) => {
                    reasoning.redacted = Some(BASE64_STANDARD.encode(kept));
                }
                _ => return None,
            }
            Some(Part::Reasoning(reasoning))
        }
        _ => None,
    }
}

/// The pieces of an answer that is there.
pub(super) fn whole(output: Output) -> Vec<Piece> {
    let content = match output.output {
        Some(ConverseOutput::Message(message)) => message.content,
        _ => Vec::new(),
    };
    let mut pieces = Vec::new();
    let mut calls = false;
    for (block, content) in content.into_iter().enumerate() {
        let mut add = |what| pieces.push(Piece { block, what });
        match content {
            ContentBlock::Text(text) => add(Part::Text(text)),
            ContentBlock::ReasoningContent(thought) => add(Part::Reasoning(reasoning(thought))),
            ContentBlock::ToolUse(call) => {
                calls = true;
                let (id, name) = (call.tool_use_id, call.name);
                add(Part::Call { id, name });
                add(Part::Input(request::value(&call.input).to_string()));
            }
            _ => {}
        }
    }
    let stop = Part::Stop(stop(&output.stop_reason, calls));
    let usage = output.usage.map(|usage| Part::Usage(cost(&usage)));
    let ends = [Some(stop), usage].into_iter().flatten();
    pieces.extend(ends.map(|what| Piece { block: 0, what }));
    pieces
}

fn reasoning(thought: ReasoningContentBlock) -> Reasoning {
    let mut reasoning = Reasoning::default();
    match thought {
        ReasoningContentBlock::ReasoningText(said) => {
            reasoning.text = said.text;
            reasoning.signature = said.signature;
        }
        ReasoningContentBlock::RedactedContent(kept) => {
            reasoning.redacted = Some(BASE64_STANDARD.encode(kept));
        }
        _ => {}
    }
    reasoning
}

fn stop(reason: &StopReason, calls: bool) -> Stop {
    match reason {
        StopReason::ToolUse => Stop::ToolUse,
        StopReason::MaxTokens => Stop::MaxTokens,
        StopReason::GuardrailIntervened | StopReason::ContentFiltered => Stop::Filtered,
        StopReason::MalformedToolUse | StopReason::MalformedModelOutput => Stop::Malformed,
        StopReason::ModelContextWindowExceeded => Stop::Overflow,
        // models have been seen to call tools and say that they end
        _ if calls => Stop::ToolUse,
        _ => Stop::EndTurn,
    }
}

/// Bedrock does not count what comes from its cache and goes into it as input.
fn cost(usage: &TokenUsage) -> Usage {
    let count = |number: Option<i32>| {
        number
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or_default()
    };
    let cache_read_tokens = count(usage.cache_read_input_tokens);
    let cache_write_tokens = count(usage.cache_write_input_tokens);
    let read = count(Some(usage.input_tokens));
    Usage {
        input_tokens: read
            .saturating_add(cache_read_tokens)
            .saturating_add(cache_write_tokens),
        output_tokens: count(Some(usage.output_tokens)),
        cache_read_tokens,
        cache_write_tokens,
    }
}
