//! What a question's `requestState` holds, and what binds it to one request.

use std::{collections::BTreeMap, time::Duration};

use rmcp::{
    ErrorData,
    model::{InputRequest, InputRequests, InputResponses, JsonObject, RequestStateCodec, SealOptions},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::Key;

/// Marks a `requestState` as ours; a handler may have states of its own, which are left alone.
const PREFIX: &str = "ask1.";

/// The answers so far and the questions that are open, as the client carries them.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    answers: Answers,
    asked: BTreeMap<String, Question>,
}

/// What a user was asked, as a digest: an answer holds for that alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Question(String);

impl Question {
    fn new(request: &InputRequest) -> Self {
        let mut hash = Sha256::new();
        digest_value(&mut hash, &serde_json::to_value(request).unwrap_or_default());
        let digest = hash.finalize();
        Self(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// What a user has answered, each answer with the question that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answers(BTreeMap<String, (Question, Value)>);

impl Answers {
    /// The answer to a question, if this very question was asked before.
    pub(crate) fn to(&self, key: &str, request: &InputRequest) -> Option<Value> {
        let (question, answer) = self.0.get(key)?;
        (*question == Question::new(request)).then(|| answer.clone())
    }
}

/// Seals and opens states: signed (HMAC-SHA256), expiring, bound to the request they belong to.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    codec: RequestStateCodec,
    ttl: Duration,
}

/// The request that a state belongs to: method, name and arguments, as a digest.
#[derive(Debug, Clone)]
pub(crate) struct Binding([u8; 32]);

impl Binding {
    pub(crate) fn new(method: &str, name: &str, arguments: Option<&JsonObject>) -> Self {
        let mut hash = Sha256::new();
        for part in [method, name] {
            update(&mut hash, part.as_bytes());
        }
        if let Some(arguments) = arguments {
            digest_object(&mut hash, arguments);
        }
        Self(hash.finalize().into())
    }
}

/// Feeds `bytes` with their length, so that neighbours cannot run into each other.
fn update(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes.len().to_be_bytes());
    hash.update(bytes);
}

/// Feeds a JSON object in an order that does not depend on how the client wrote it.
fn digest_object(hash: &mut Sha256, object: &JsonObject) {
    let mut entries: Vec<_> = object.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| key.as_str());
    hash.update(b"{");
    hash.update(entries.len().to_be_bytes());
    for (key, value) in entries {
        update(hash, key.as_bytes());
        digest_value(hash, value);
    }
}

fn digest_value(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(object) => digest_object(hash, object),
        Value::Array(array) => {
            hash.update(b"[");
            hash.update(array.len().to_be_bytes());
            for value in array {
                digest_value(hash, value);
            }
        }
        scalar => update(hash, scalar.to_string().as_bytes()),
    }
}

impl Seal {
    /// States are signed with the first of `keys`, and expire after `ttl`. A state names its key, so that one which
    /// another instance has signed with an older or a newer key is known too.
    ///
    /// # Panics
    /// Never: a key has a name of its own and the length that is asked for.
    pub(crate) fn new(keys: &[Key], ttl: Duration) -> Self {
        let random = [Key::random()];
        let keys = if keys.is_empty() { &random } else { keys };
        let named: BTreeMap<String, &[u8]> = keys.iter().map(|key| (key.id(), key.expose())).collect();
        let active = keys.first().map(Key::id).unwrap_or_default();
        #[expect(clippy::expect_used, reason = "see `Panics`")]
        let codec = RequestStateCodec::new_with_keyring(active, named).expect("keys that can sign");
        Self { codec, ttl }
    }

    /// Takes our state out of a request and gives the answers that it and the request hold: only answers to
    /// questions that were really asked. `None` when the request has no state of ours.
    ///
    /// # Errors
    /// When the state was tampered with, has expired or belongs to another request.
    pub(crate) fn open(
        &self,
        binding: &Binding,
        state: &mut Option<String>,
        responses: &mut Option<InputResponses>,
    ) -> Result<Option<Answers>, ErrorData> {
        let Some(sealed) = state.as_deref().and_then(|state| state.strip_prefix(PREFIX)) else {
            return Ok(None);
        };
        let State { mut answers, asked } =
            self.codec.open_json_with(sealed, &binding.0).map_err(|error| {
                tracing::debug!(%error, "refused a requestState");
                ErrorData::invalid_params(
                    "requestState is not valid, or no longer; call again without it",
                    None,
                )
            })?;
        *state = None;
        let given = responses.take().unwrap_or_default();
        answers.0.extend(
            given.into_iter().filter_map(|(key, answer)| {
                asked.get(&key).map(|question| (key, (question.clone(), answer)))
            }),
        );
        Ok(Some(answers))
    }

    /// The state with which the client is to retry.
    ///
    /// # Errors
    /// When the answers cannot be written as JSON.
    pub(crate) fn seal(
        &self,
        binding: &Binding,
        answers: Answers,
        requests: &InputRequests,
    ) -> Result<String, ErrorData> {
        let asked = requests
            .iter()
            .map(|(key, request)| (key.clone(), Question::new(request)))
            .collect();
        let state = State { answers, asked };
        let options = SealOptions::new().associated_data(&binding.0).ttl(self.ttl);
        let sealed = self.codec.seal_json_with(&state, &options).map_err(|error| {
            tracing::error!(%error, "cannot seal a requestState");
            ErrorData::internal_error("internal error", None)
        })?;
        Ok(format!("{PREFIX}{sealed}"))
    }
}

#[cfg(test)]
#[expect(deprecated, reason = "roots are the simplest question")]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> JsonObject {
        let Value::Object(object) = value else {
            panic!("not an object: {value}")
        };
        object
    }

    fn question() -> InputRequest {
        InputRequest::ListRoots(rmcp::model::ListRootsRequest::default())
    }

    #[test]
    fn an_answer_holds_for_the_question_that_the_user_saw() {
        let ask = |message: &str| -> InputRequest {
            let params = json!({"mode": "form", "message": message, "requestedSchema": {"type": "object", "properties": {}}});
            serde_json::from_value(json!({"method": "elicitation/create", "params": params})).unwrap()
        };
        let seal = Seal::new(&[Key::random()], Duration::from_secs(60));
        let binding = Binding::new("tools/call", "book", None);
        let requests = InputRequests::from([("confirm".to_owned(), ask("Book for $100?"))]);
        let mut state = Some(seal.seal(&binding, Answers::default(), &requests).unwrap());
        let mut responses = Some(InputResponses::from([(
            "confirm".to_owned(),
            json!({"action": "accept"}),
        )]));
        let answers = seal.open(&binding, &mut state, &mut responses).unwrap().unwrap();
        assert!(answers.to("confirm", &ask("Book for $100?")).is_some());
        assert_eq!(answers.to("confirm", &ask("Book for $900?")), None);
    }

    #[test]
    fn while_keys_change_every_instance_knows_the_states_of_all() {
        let (old, new, other) = (Key::random(), Key::random(), Key::random());
        let ttl = Duration::from_secs(60);
        // the order of a rotation: first all know the new key, then it signs, then the old one goes
        let stages = [
            Seal::new(std::slice::from_ref(&old), ttl),
            Seal::new(&[old.clone(), new.clone()], ttl),
            Seal::new(&[new.clone(), old.clone()], ttl),
            Seal::new(std::slice::from_ref(&new), ttl),
        ];
        let binding = Binding::new("tools/call", "order", None);
        for pair in stages.windows(2) {
            for (signs, opens) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                let opened = opens.open(&binding, &mut sealed(signs, &binding), &mut None);
                assert!(opened.unwrap().is_some());
            }
        }
        let foreign = Seal::new(&[other, new], ttl);
        assert!(
            stages[3]
                .open(&binding, &mut sealed(&foreign, &binding), &mut None)
                .is_err()
        );
    }

    fn sealed(seal: &Seal, binding: &Binding) -> Option<String> {
        let requests = InputRequests::from([("name".to_owned(), question())]);
        Some(seal.seal(binding, Answers::default(), &requests).unwrap())
    }

    #[test]
    fn only_what_was_asked_is_an_answer() {
        let seal = Seal::new(&[Key::random()], Duration::from_secs(60));
        let binding = Binding::new("tools/call", "order", None);
        let mut state = sealed(&seal, &binding);
        let mut responses = Some(InputResponses::from([
            ("name".to_owned(), json!(1)),
            ("confirmed".to_owned(), json!(true)),
        ]));
        let answers = seal.open(&binding, &mut state, &mut responses).unwrap().unwrap();
        assert_eq!(answers.to("name", &question()), Some(json!(1)));
        assert_eq!(answers.0.len(), 1);
        assert_eq!((state, responses), (None, None));
    }

    #[test]
    fn a_state_is_refused_when_changed_foreign_or_of_another_request() {
        let seal = Seal::new(&[Key::random()], Duration::from_secs(60));
        let binding = Binding::new(
            "tools/call",
            "order",
            Some(&object(json!({"a": 1, "b": {"c": 2}}))),
        );
        let state = sealed(&seal, &binding);

        let mut tampered = state.clone().map(|state| state + "-TAMPERED");
        assert!(seal.open(&binding, &mut tampered, &mut None).is_err());

        let other = Binding::new(
            "tools/call",
            "order",
            Some(&object(json!({"a": 1, "b": {"c": 3}}))),
        );
        assert!(seal.open(&other, &mut state.clone(), &mut None).is_err());

        let foreign = Seal::new(&[Key::random()], Duration::from_secs(60));
        assert!(foreign.open(&binding, &mut state.clone(), &mut None).is_err());

        // the same arguments in another order are the same request
        let same = Binding::new(
            "tools/call",
            "order",
            Some(&object(json!({"b": {"c": 2}, "a": 1}))),
        );
        assert!(seal.open(&same, &mut state.clone(), &mut None).unwrap().is_some());
    }

    #[test]
    fn a_handlers_own_state_is_left_alone() {
        let seal = Seal::new(&[Key::random()], Duration::from_secs(60));
        let mut state = Some("rs1.something".to_owned());
        let mut responses = Some(InputResponses::from([("x".to_owned(), json!(1))]));
        let opened = seal
            .open(&Binding::new("tools/call", "x", None), &mut state, &mut responses)
            .unwrap();
        assert_eq!(opened, None);
        assert!(state.is_some() && responses.is_some());
    }
}
