//! What a turn leaves in traces: the names of OpenTelemetry's conventions, and nothing of what is said.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

use crate::{
    puppet::{Puppet, Say, agent, max, say},
    workshop::Workshop,
};

type Fields = BTreeMap<String, String>;

/// The spans that begin, with everything that is recorded in them.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<(u64, String, Fields)>>>);

struct Writing<'a>(&'a mut Fields);

impl Visit for Writing<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Writing(&mut fields));
        let name = attributes.metadata().name().to_owned();
        self.0.lock().unwrap().push((id.into_u64(), name, fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        if let Some((_, _, fields)) = spans.iter_mut().rev().find(|(own, ..)| *own == id.into_u64()) {
            values.record(&mut Writing(fields));
        }
    }
}

async fn spans(content: bool) -> Vec<(String, Fields)> {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([Say::Calls(vec![("look", "SECRET")]), Say::Words("done, SECRET")]);
    let mut agent = agent(&model).with_servers(vec![upstream]);
    if content {
        agent = agent.with_content_in_traces();
    }
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    say(&agent, &max(), "SECRET").await;
    drop(guard);
    let ours = ["invoke_agent", "chat", "execute_tool"];
    let spans = spans.0.lock().unwrap();
    let spans = spans.iter().filter(|(_, name, _)| ours.contains(&name.as_str()));
    spans
        .map(|(_, name, fields)| (name.clone(), fields.clone()))
        .collect()
}

#[tokio::test]
async fn spans_have_the_names_of_the_conventions_and_no_content() {
    let spans = spans(false).await;
    let names: Vec<_> = spans.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["invoke_agent", "chat", "execute_tool", "chat"]);
    let is = |at: usize, field: &str, value: &str| {
        assert_eq!(
            spans[at].1.get(field).map(String::as_str),
            Some(value),
            "{field}: {:?}",
            spans[at]
        );
    };
    is(0, "gen_ai.operation.name", "invoke_agent");
    is(0, "gen_ai.conversation.id", "trip");
    is(0, "gen_ai.usage.input_tokens", "20");
    is(1, "otel.name", "chat puppet");
    is(1, "gen_ai.provider.name", "test");
    is(2, "otel.name", "execute_tool look");
    is(2, "mcp.method.name", "tools/call");
    is(2, "gen_ai.tool.call.id", "c1-0");
    assert!(!format!("{spans:?}").contains("SECRET"), "{spans:?}");
}

#[tokio::test]
async fn content_is_there_when_it_is_wanted() {
    let spans = spans(true).await;
    assert_eq!(spans[2].1["gen_ai.tool.call.arguments"], "{\"what\":\"SECRET\"}");
    assert!(spans[2].1["gen_ai.tool.call.result"].contains("SECRET"));
}
