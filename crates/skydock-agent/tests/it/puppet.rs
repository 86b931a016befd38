//! A model that says what a test tells it to, and remembers what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use skydock_agent::{
    Agent, Decision, Ended, Event, Input, Turn,
    message::Message,
    model::{Failure, Model, Part, Piece, Pieces, Request, Spec, Stop, Usage},
    store::{Key, Sqlite, Store},
};

/// What the model does when it is asked.
#[derive(Debug)]
pub(crate) enum Say {
    /// Says it, and ends the turn.
    Words(&'static str),
    /// Calls these, by name, with `{"what": …}`.
    Calls(Vec<(&'static str, &'static str)>),
    /// Writes a call with these arguments, whatever they are.
    Raw(&'static str, &'static str),
    /// Says something and fails.
    Break(&'static str, Failure),
    /// Says it and is silent for ever.
    Hang(&'static str),
    /// Ends so.
    Stop(&'static str, Stop),
    /// Calls this under this id.
    Named(&'static str, &'static str),
    /// Wants this called and ends so.
    Cut(&'static str, Stop),
    /// Breaks as no model should.
    Panic,
}

/// The model.
#[derive(Debug, Default)]
pub(crate) struct Puppet {
    says: Mutex<VecDeque<Say>>,
    pub(crate) asked: Mutex<Vec<Asked>>,
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) system: String,
    pub(crate) messages: Vec<Message>,
    pub(crate) tools: Vec<Spec>,
}

impl Puppet {
    pub(crate) fn new(says: impl IntoIterator<Item = Say>) -> Arc<Self> {
        Arc::new(Self {
            says: Mutex::new(says.into_iter().collect()),
            asked: Mutex::default(),
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Model for Puppet {
    fn name(&self) -> &str {
        "puppet"
    }

    fn provider(&self) -> &'static str {
        "test"
    }

    async fn ask(&self, request: Request<'_>) -> Result<Pieces, Failure> {
        check_form(request.messages);
        self.asked.lock().unwrap().push(Asked {
            system: request.system.to_owned(),
            messages: request.messages.to_vec(),
            tools: request.tools.to_vec(),
        });
        let turn = self.asked.lock().unwrap().len();
        let say = self.says.lock().unwrap().pop_front();
        let say = say.unwrap_or(Say::Words("nothing more"));
        let piece = |block, what| Ok(Piece { block, what });
        let words = |text: &str| piece(0, Part::Text(text.to_owned()));
        let usage = piece(
            0,
            Part::Usage(Usage {
                input_tokens: 10,
                output_tokens: 5,
                ..Usage::default()
            }),
        );
        Ok(match say {
            Say::Words(text) => stream::iter([words(text), usage]).boxed(),
            Say::Stop(text, stop) => stream::iter([words(text), piece(0, Part::Stop(stop)), usage]).boxed(),
            Say::Break(text, failure) => stream::iter([words(text), Err(failure)]).boxed(),
            Say::Named(id, name) => {
                let (id, name) = (id.to_owned(), name.to_owned());
                stream::iter([piece(0, Part::Call { id, name })]).boxed()
            }
            Say::Panic => panic!("as asked"),
            Say::Cut(name, stop) => {
                let name = name.to_owned();
                let id = format!("k{turn}");
                stream::iter([
                    words("I look"),
                    piece(1, Part::Call { id, name }),
                    piece(0, Part::Stop(stop)),
                ])
                .boxed()
            }
            Say::Hang(text) => stream::iter([words(text)]).chain(stream::pending()).boxed(),
            Say::Calls(calls) => wanted(turn, calls),
            Say::Raw(name, input) => {
                let call = Part::Call {
                    id: format!("r{turn}"),
                    name: name.to_owned(),
                };
                stream::iter([piece(0, call), piece(0, Part::Input(input.to_owned()))]).boxed()
            }
        })
    }
}

/// An answer that calls these.
fn wanted(turn: usize, calls: Vec<(&'static str, &'static str)>) -> Pieces {
    let piece = |block, what| Ok(Piece { block, what });
    let mut pieces = Vec::new();
    for (index, (name, what)) in calls.into_iter().enumerate() {
        let (id, name) = (format!("c{turn}-{index}"), name.to_owned());
        pieces.push(piece(index, Part::Call { id, name }));
        pieces.push(piece(index, Part::Input(json!({ "what": what }).to_string())));
    }
    let usage = Usage {
        input_tokens: 10,
        output_tokens: 5,
        ..Usage::default()
    };
    pieces.extend([piece(0, Part::Stop(Stop::ToolUse)), piece(0, Part::Usage(usage))]);
    stream::iter(pieces).boxed()
}

/// What providers insist on: roles alternate, the first and the last message are the user's, and each call is answered
/// in the next message, in order.
fn check_form(messages: &[Message]) {
    use skydock_agent::message::{Block, Role};
    assert!(
        messages.first().is_some_and(|first| first.role == Role::User),
        "{messages:?}"
    );
    assert!(
        messages.last().is_some_and(|last| last.role == Role::User),
        "{messages:?}"
    );
    for pair in messages.windows(2) {
        assert_ne!(pair[0].role, pair[1].role, "{messages:?}");
        let calls: Vec<_> = pair[0].calls().map(|call| call.id.clone()).collect();
        let results: Vec<_> = pair[1]
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Result(result) => Some(result.id.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(calls, results, "{messages:?}");
    }
}

/// An agent with this model, and a store in memory.
pub(crate) fn agent(model: &Arc<Puppet>) -> Agent {
    on(model, Arc::new(Sqlite::in_memory().unwrap()))
}

/// The same with a store that others know.
pub(crate) fn on(model: &Arc<Puppet>, store: Arc<dyn Store>) -> Agent {
    Agent::new(Arc::<Puppet>::clone(model), store)
}

pub(crate) fn max() -> Key {
    Key::new("max", "trip")
}

/// Everything that happens in a turn.
pub(crate) async fn all(mut turn: Turn) -> Vec<Event> {
    let mut events = Vec::new();
    let hear = async {
        while let Some(event) = turn.next().await {
            events.push(event);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), hear).await.unwrap();
    events
}

/// Says something and hears everything.
pub(crate) async fn say(agent: &Agent, key: &Key, words: &str) -> Vec<Event> {
    all(agent.turn(key, Input::Say(words.to_owned()), None).await.unwrap()).await
}

/// Decides and hears everything.
pub(crate) async fn decide(agent: &Agent, key: &Key, decisions: &[(&str, bool)]) -> Vec<Event> {
    let decisions = decisions.iter().map(|(id, approve)| Decision {
        id: (*id).to_owned(),
        approve: *approve,
        note: None,
    });
    all(agent
        .turn(key, Input::Decide(decisions.collect()), None)
        .await
        .unwrap())
    .await
}

/// What was said.
pub(crate) fn words(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// How it ended.
pub(crate) fn end(events: &[Event]) -> Ended {
    match events.last() {
        Some(Event::Ended(ended)) => ended.clone(),
        other => panic!("the last event is {other:?}"),
    }
}

/// The results, by the ids of their calls, and whether they are errors.
pub(crate) fn results(events: &[Event]) -> Vec<(String, String, bool)> {
    let results = events.iter().filter_map(|event| match event {
        Event::Result { result, .. } => Some((result.id.clone(), result.text.clone(), result.is_error)),
        _ => None,
    });
    results.collect()
}

/// What calls wait for a decision.
pub(crate) fn waiting(events: &[Event]) -> Vec<(String, Value)> {
    let waiting = events.iter().filter_map(|event| match event {
        Event::Approval { call, .. } => Some((call.id.clone(), call.input.clone())),
        _ => None,
    });
    waiting.collect()
}
