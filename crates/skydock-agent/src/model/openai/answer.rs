//! What such a server says, as pieces: a stream of events, or an answer as a whole.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use reqwest::{Response, header};
use sse_stream::{Sse, SseStream};

use super::{
    super::{Failure, Part, Patience, Piece, Pieces, Stop, Usage, short},
    failure,
    wire::{self, CallDelta, Chunk, Counts, Delta},
};
use crate::message::Reasoning;

/// The longest answer, in bytes of what is sent.
const LONGEST: usize = 32 << 20;
/// The most calls in one answer.
const CALLS: usize = 128;
/// The blocks, in the order in which they are said; calls follow.
const REASONING: usize = 0;
const TEXT: usize = 1;
const FIRST_CALL: usize = 2;

/// Why no more comes.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Way(#[from] reqwest::Error),
    #[error("the answer is longer than {LONGEST} bytes")]
    Long,
}

/// The pieces of an answer that has begun.
pub(super) async fn pieces(response: Response, patience: Patience) -> Result<Pieces, Failure> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    let mut answer = Answer::default();
    if is_json {
        let body = read_all(response, LONGEST, patience.first).await?;
        answer.read(&String::from_utf8_lossy(&body))?;
        answer.close()?;
        return Ok(stream::iter(answer.pieces.into_iter().map(Ok)).boxed());
    }
    // an event that nothing follows is one too
    let end = stream::iter([Ok(Bytes::from_static(b"\n\n"))]);
    let events = SseStream::from_bytes_stream(bounded(response).chain(end)).boxed();
    let reading = Reading {
        events,
        answer,
        patience,
        heard: false,
    };
    let pieces = stream::try_unfold(reading, |mut reading| async move {
        loop {
            if let Some(piece) = reading.answer.pieces.pop_front() {
                return Ok(Some((piece, reading)));
            }
            if reading.answer.ended {
                return Ok(None);
            }
            reading.read().await?;
        }
    });
    Ok(pieces.boxed())
}

/// The bytes of a response, up to the bound.
fn bounded(response: Response) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
    let mut read = 0_usize;
    response
        .bytes_stream()
        .map_err(Broken::Way)
        .and_then(move |bytes| {
            read = read.saturating_add(bytes.len());
            let within = read <= LONGEST;
            async move { if within { Ok(bytes) } else { Err(Broken::Long) } }
        })
}

/// A body as a whole, if it is not longer.
pub(super) async fn read_all(
    response: Response,
    longest: usize,
    patience: Duration,
) -> Result<Vec<u8>, Failure> {
    let reading = async {
        let mut body = Vec::new();
        let mut bytes = response.bytes_stream();
        while let Some(bytes) = bytes.next().await {
            body.extend_from_slice(&bytes.map_err(|error| failure::of_way(&error))?);
            if body.len() > longest {
                return Err(Failure::Refused(format!(
                    "the answer is longer than {longest} bytes"
                )));
            }
        }
        Ok(body)
    };
    tokio::time::timeout(patience, reading)
        .await
        .unwrap_or_else(|_| Err(failure::silent(patience)))
}

/// A stream of events that is being read.
struct Reading {
    events: BoxStream<'static, Result<Sse, sse_stream::Error>>,
    answer: Answer,
    patience: Patience,
    heard: bool,
}

impl Reading {
    async fn read(&mut self) -> Result<(), Failure> {
        let patience = if self.heard {
            self.patience.next
        } else {
            self.patience.first
        };
        let event = tokio::time::timeout(patience, self.events.next()).await;
        let event = event.map_err(|_elapsed| failure::silent(patience))?;
        self.heard = true;
        match event {
            None => self.answer.close(),
            Some(Ok(Sse { data: Some(data), .. })) => match data.trim() {
                "" => Ok(()),
                "[DONE]" => self.answer.close(),
                data => self.answer.read(data),
            },
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(broken(&error)),
        }
    }
}

fn broken(error: &sse_stream::Error) -> Failure {
    let told = short(&crate::client::tell(error));
    match error {
        sse_stream::Error::Body(cause) if matches!(cause.downcast_ref(), Some(Broken::Long)) => {
            Failure::Refused(told)
        }
        sse_stream::Error::Body(_) => Failure::Unavailable(format!("the answer was cut off: {told}")),
        _ => Failure::Unavailable(format!("the answer is no stream of events: {told}")),
    }
}

/// An answer, as far as it has come.
#[derive(Debug, Default)]
struct Answer {
    pieces: VecDeque<Piece>,
    calls: Vec<Call>,
    stop: Option<Stop>,
    /// What it has cost so far: some servers count in every piece, from the beginning.
    cost: Usage,
    ended: bool,
}

/// A call that has begun.
#[derive(Debug)]
struct Call {
    index: Option<usize>,
    id: String,
    /// Arguments that came before the name.
    held: String,
    named: bool,
}

impl Answer {
    fn read(&mut self, data: &str) -> Result<(), Failure> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| {
            Failure::Unavailable(format!("a piece of the answer cannot be read: {error}"))
        })?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(failure::of_event(&error));
        }
        if chunk.object.as_deref() == Some("error") {
            return Err(failure::of_event(&chunk.message.unwrap_or_default()));
        }
        for choice in chunk.choices.into_iter().flatten().take(1) {
            if let Some(delta) = choice.delta {
                self.hear(delta)?;
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.stop = Some(stop(&reason)?);
            }
        }
        if let Some(counts) = chunk.usage {
            self.cost = cost(&counts);
        }
        Ok(())
    }

    fn hear(&mut self, delta: Delta) -> Result<(), Failure> {
        let thought = [delta.reasoning_content, delta.reasoning].into_iter().flatten();
        // a server that sends both says the same twice
        if let Some(text) = thought
            .map(|text| wire::words(&text))
            .find(|text| !text.is_empty())
        {
            let reasoning = Reasoning {
                text,
                ..Reasoning::default()
            };
            self.add(REASONING, Part::Reasoning(reasoning));
        }
        let said =
            delta.content.as_ref().map(wire::words).unwrap_or_default() + &delta.refusal.unwrap_or_default();
        if !said.is_empty() {
            self.add(TEXT, Part::Text(said));
        }
        for call in delta.tool_calls.into_iter().flatten() {
            self.call(call)?;
        }
        Ok(())
    }

    fn call(&mut self, delta: CallDelta) -> Result<(), Failure> {
        let function = delta.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let id = delta.id.unwrap_or_default();
        let more = function
            .arguments
            .as_ref()
            .map(wire::arguments)
            .unwrap_or_default();
        let place = match self.find(delta.index, &id, &name) {
            Some(place) => place,
            None if self.calls.len() < CALLS => {
                // some servers give no id, or the same to all
                let id = if id.is_empty() || self.calls.iter().any(|call| call.id == id) {
                    format!("call-{}", uuid::Uuid::new_v4().simple())
                } else {
                    id
                };
                self.calls.push(Call {
                    index: delta.index,
                    id,
                    held: String::new(),
                    named: false,
                });
                self.calls.len().saturating_sub(1)
            }
            None => {
                return Err(Failure::Refused(format!(
                    "it wants more than {CALLS} calls at once"
                )));
            }
        };
        let block = FIRST_CALL.saturating_add(place);
        let Some(call) = self.calls.get_mut(place) else {
            return Ok(());
        };
        call.held.push_str(&more);
        if !call.named && !name.is_empty() {
            call.named = true;
            let id = call.id.clone();
            self.pieces.push_back(Piece {
                block,
                what: Part::Call { id, name },
            });
        }
        if call.named && !call.held.is_empty() {
            let what = Part::Input(std::mem::take(&mut call.held));
            self.pieces.push_back(Piece { block, what });
        }
        Ok(())
    }

    /// The call that a fragment belongs to. A fragment with a new id and a name begins another one, even with an index
    /// that was there before: some servers number all calls 0.
    fn find(&self, index: Option<usize>, id: &str, name: &str) -> Option<usize> {
        let same_id = |call: &Call| !id.is_empty() && call.id == id && call.index == index;
        let same_index = |call: &Call| index.is_some() && call.index == index;
        let found = self.calls.iter().rposition(same_id);
        if found.is_some() || (!id.is_empty() && !name.is_empty()) {
            return found;
        }
        if index.is_some() {
            return self.calls.iter().rposition(same_index);
        }
        if name.is_empty() {
            return self.calls.len().checked_sub(1);
        }
        None
    }

    /// Nothing follows.
    fn close(&mut self) -> Result<(), Failure> {
        let Some(stop) = self.stop else {
            return Err(Failure::Unavailable(
                "the answer was cut off before its end".to_owned(),
            ));
        };
        let stop = match stop {
            _ if self.calls.iter().any(|call| !call.named) => Stop::Malformed,
            // servers have been seen to call tools and say that they end
            Stop::EndTurn if !self.calls.is_empty() => Stop::ToolUse,
            stop => stop,
        };
        self.add(TEXT, Part::Stop(stop));
        self.add(TEXT, Part::Usage(self.cost));
        self.ended = true;
        Ok(())
    }

    fn add(&mut self, block: usize, what: Part) {
        self.pieces.push_back(Piece { block, what });
    }
}

fn stop(reason: &str) -> Result<Stop, Failure> {
    Ok(match reason {
        "tool_calls" | "function_call" => Stop::ToolUse,
        "length" | "max_tokens" | "model_length" => Stop::MaxTokens,
        "content_filter" => Stop::Filtered,
        "error" | "abort" => {
            return Err(Failure::Unavailable(format!(
                "the server ended the answer: {reason}"
            )));
        }
        _ => Stop::EndTurn,
    })
}

fn cost(counts: &Counts) -> Usage {
    let details = counts.prompt_tokens_details.as_ref();
    Usage {
        input_tokens: counts.prompt_tokens.unwrap_or_default(),
        output_tokens: counts.completion_tokens.unwrap_or_default(),
        cache_read_tokens: details
            .and_then(|details| details.cached_tokens)
            .unwrap_or_default(),
        cache_write_tokens: 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::super::Assembly, *};

    fn heard(chunks: &[Value]) -> Result<(crate::message::Message, Stop, Usage), Failure> {
        let mut answer = Answer::default();
        for chunk in chunks {
            answer.read(&chunk.to_string())?;
        }
        answer.close()?;
        let mut assembly = Assembly::default();
        answer.pieces.into_iter().for_each(|piece| assembly.add(piece));
        Ok(assembly.finish())
    }

    fn calls(fragments: &[Value], reason: &str) -> (Vec<(String, String, Value)>, Stop) {
        let mut chunks: Vec<_> = fragments
            .iter()
            .map(|calls| json!({"choices": [{"delta": {"tool_calls": [calls]}}]}))
            .collect();
        chunks.push(json!({"choices": [{"delta": {}, "finish_reason": reason}]}));
        let (message, stop, _) = heard(&chunks).unwrap();
        let calls = message
            .calls()
            .map(|call| (call.id.clone(), call.name.clone(), call.input.clone()));
        (calls.collect(), stop)
    }

    #[test]
    fn fragments_of_calls_find_each_other() {
        let named = |index: Value, id: &str, name: &str, arguments: Value| json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
        let more =
            |index: Value, arguments: &str| json!({"index": index, "function": {"arguments": arguments}});
        let (a, b) = (json!({"x": 1}), json!({"y": 2}));
        let expected = [
            ("a".to_owned(), "f".to_owned(), a.clone()),
            ("b".to_owned(), "g".to_owned(), b.clone()),
        ];
        for fragments in [
            // OpenAI: mixed, by index
            vec![
                named(json!(0), "a", "f", json!("")),
                named(json!(1), "b", "g", json!("{\"y\":")),
                more(json!(0), "{\"x\""),
                more(json!(1), " 2}"),
                more(json!(0), ":1}"),
            ],
            // all of them number 0
            vec![
                named(json!(0), "a", "f", json!("{\"x\":1}")),
                named(json!(0), "b", "g", json!("{\"y\":2}")),
            ],
            // no index, and arguments that are no text
            vec![
                named(json!(null), "a", "f", a.clone()),
                named(json!(null), "b", "g", json!("{\"y\":")),
                more(json!(null), "2}"),
            ],
            // the id again with each fragment, a name that comes late
            vec![
                named(json!(0), "a", "", json!("{\"x\"")),
                named(json!(0), "a", "f", json!(":1}")),
                named(json!(1), "b", "g", json!("{\"y\":2")),
                named(json!(1), "b", "", json!("}")),
            ],
        ] {
            let (calls, stop) = calls(&fragments, "tool_calls");
            assert_eq!(calls, expected, "{fragments:?}");
            assert_eq!(stop, Stop::ToolUse);
        }
        let (found, stop) = calls(
            &[
                named(json!(0), "", "f", json!("")),
                named(json!(1), "", "g", json!("{}")),
            ],
            "stop",
        );
        assert_eq!(stop, Stop::ToolUse);
        assert_eq!(found.len(), 2);
        assert_ne!(found[0].0, found[1].0);
        let (found, stop) = calls(&[named(json!(0), "a", "", json!("{}"))], "tool_calls");
        assert_eq!((found.len(), stop), (0, Stop::Malformed));
    }

    #[test]
    fn an_answer_as_a_whole_is_read_too() {
        let chunk = json!({
            "choices": [{"message": {"content": [{"type": "text", "text": "hello"}], "reasoning": "hm"}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}},
        });
        let (message, stop, usage) = heard(&[chunk]).unwrap();
        assert_eq!(
            (message.text().as_str(), message.blocks.len(), stop),
            ("hello", 2, Stop::MaxTokens)
        );
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens),
            (9, 2, 8)
        );
    }

    #[test]
    fn an_end_that_does_not_come_is_none() {
        let failure = heard(&[json!({"choices": [{"delta": {"content": "hel"}}]})]).unwrap_err();
        assert!(matches!(failure, Failure::Unavailable(_)), "{failure}");
    }
}
