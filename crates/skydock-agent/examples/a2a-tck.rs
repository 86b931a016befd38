//! The agent that the A2A TCK tests: it does what the ids of messages say. `docs/guide/a2a.md` says how to run both.

#![expect(clippy::print_stderr, reason = "an example says where it is")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use skydock_agent::a2a::{
    End, Executor, Job, Lost, Service, Sink, card,
    protocol::{AgentSkill, Artifact, Message, Part, Role},
    push::{Push, Signer},
    router,
    store::Sqlite,
};
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Does what the ids of messages say.
#[derive(Debug)]
struct Responder;

/// What a task is to have, and how it is to end.
enum Scene {
    Artifact(Part),
    Chunks([&'static str; 2]),
    Wait(Duration),
    End(End),
}

/// The scenes by the prefixes of ids, longer ones before those that they begin with.
fn scene(id: &str) -> Scene {
    let text = |text: &str| Scene::Artifact(Part::text(text));
    let file = |part: Part| {
        let part = part.with_media_type("text/plain").with_filename("output.txt");
        Scene::Artifact(part)
    };
    let begins = |prefix: &str| id.starts_with(prefix);
    match id {
        _ if begins("tck-artifact-text") => text("Generated text content"),
        _ if begins("tck-artifact-file-url") => file(Part::url("https://example.com/output.txt")),
        _ if begins("tck-artifact-file") => file(Part::raw(b"tck".to_vec())),
        _ if begins("tck-artifact-data") => Scene::Artifact(Part::data(json!({"key": "value", "count": 42}))),
        _ if begins("tck-stream-artifact-chunked") => Scene::Chunks(["chunk-1 ", "chunk-2"]),
        _ if begins("tck-stream-artifact-text") => text("Streamed text content"),
        _ if begins("tck-stream-artifact-file") => file(Part::raw(b"tck".to_vec())),
        _ if begins("tck-stream-ordering-001") => text("Ordered output"),
        _ if begins("tck-stream-001") => text("Stream hello from TCK"),
        _ if begins("tck-stream-003") => text("Stream task lifecycle"),
        _ if begins("tck-input-required") => Scene::End(End::InputRequired(said("More, please"))),
        _ if begins("tck-auth-required") => Scene::End(End::AuthRequired(said("Log in, please"))),
        _ if begins("tck-reject-task") => Scene::End(End::Rejected(said("rejected"))),
        _ if begins("tck-task-failure") => Scene::End(End::failed("failed")),
        _ if begins("test-resubscribe-message-id") => Scene::Wait(Duration::from_secs(4)),
        _ => Scene::End(End::Completed(Some(said("Hello from TCK")))),
    }
}

fn said(text: &str) -> Message {
    Message::new(Role::Agent, vec![Part::text(text)])
}

fn artifact(part: Part) -> Artifact {
    Artifact {
        artifact_id: "artifact".to_owned(),
        name: Some("artifact".to_owned()),
        description: None,
        parts: vec![part],
        metadata: None,
        extensions: None,
    }
}

#[async_trait]
impl Executor for Responder {
    async fn answer(&self, _caller: &str, message: &Message) -> Option<Message> {
        let direct = ["tck-message-response", "tck-stream-002"];
        let direct = direct.iter().any(|prefix| message.message_id.starts_with(prefix));
        direct.then(|| said("Direct message response"))
    }

    async fn execute(&self, job: Job, sink: &Sink) -> Result<End, Lost> {
        Ok(match scene(&job.message.message_id) {
            Scene::End(end) => end,
            Scene::Wait(time) => {
                tokio::time::sleep(time).await;
                End::done()
            }
            Scene::Artifact(part) => {
                sink.artifact(artifact(part), false, true).await?;
                End::done()
            }
            Scene::Chunks([first, second]) => {
                sink.artifact(artifact(Part::text(first)), false, false).await?;
                sink.artifact(artifact(Part::text(second)), true, true).await?;
                End::done()
            }
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9999".to_owned());
    let address: SocketAddr = address.parse()?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let skill = AgentSkill {
        id: "tck".to_owned(),
        name: "TCK".to_owned(),
        description: "Does what the ids of messages say.".to_owned(),
        tags: vec!["tck".to_owned()],
        examples: None,
        input_modes: None,
        output_modes: None,
        security_requirements: None,
    };
    // the suite has webhooks of its own on this machine
    let trusted = std::env::args().skip(2).collect();
    let push = Push::new(Signer::generate(&url)?).with_trusted(trusted);
    let card = card(
        "A2A TCK responder",
        "Does what the ids of messages say.",
        &url,
        vec![skill],
    );
    let service = Service::new(card, Arc::new(Sqlite::in_memory()?), Arc::new(Responder)).with_push(push);
    let stop = CancellationToken::new();
    let working = service.clone();
    let until = stop.clone();
    let working = tokio::spawn(async move { working.work(until).await });
    eprintln!("{url}: JSON-RPC at /, HTTP+JSON beside it; Ctrl-C ends it");
    let ended = stop.clone();
    let signal = async move {
        // without a handler the process ends at once, which is as good
        let _ = tokio::signal::ctrl_c().await;
        ended.cancel();
    };
    axum::serve(listener, router(service))
        .with_graceful_shutdown(signal)
        .await?;
    working.await?;
    Ok(())
}
