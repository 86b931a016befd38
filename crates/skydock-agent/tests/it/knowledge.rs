//! What an agent looks up: in a folder, and in a knowledge base of Bedrock, as a turn shows it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_bedrockagentruntime::config::Credentials;
use axum::{Json, Router, extract::Request as Asked, routing::any};
use futures::stream;
use serde_json::{Value, json};
use skydock_agent::{
    Agent, Event, Input,
    knowledge::{BedrockKnowledgeBase, Directory, Knowledge},
    message::{Block, Message, Passage},
    model::{Failure, Model, Part, Piece, Pieces, Request, Stop},
    store::{Key, Sqlite},
};
use tokio::net::TcpListener;

use crate::folder::Folder;

fn policies() -> Folder {
    let folder = Folder::new();
    folder.write(
        "travel.md",
        "# Travel policies\n\nThey hold for everybody.\n\n## Cars\n\nSedans and SUVs can be rented. Luxury cars are not allowed.\n\n\
         ## Hotels\n\nStandard and superior rooms can be booked, for up to five nights.\n",
    );
    folder.write(
        "more/expenses.txt",
        "Receipts for meals have to be handed in within thirty days.\n",
    );
    folder.write("more/kitchen.md", "# Kitchen\n\nThe dishwasher runs at noon.\n");
    folder
}

async fn sources(knowledge: &dyn Knowledge, question: &str) -> Vec<String> {
    let found = knowledge.find(question, 4).await.unwrap();
    found.into_iter().map(|passage| passage.source).collect()
}

#[tokio::test]
async fn the_passage_that_belongs_to_a_question_is_found() {
    let folder = policies();
    let knowledge = Directory::open(folder.path()).unwrap();
    assert_eq!(knowledge.size(), (5, 0));
    for (question, first) in [
        ("Can I rent a luxury car?", "travel.md#Cars"),
        (
            "I'd like to go to Dallas next Monday; which hotel rooms can be booked there, and for how many nights?",
            "travel.md#Hotels",
        ),
        ("when must receipts be handed in?", "more/expenses.txt"),
        ("When does the dishwasher run?", "more/kitchen.md#Kitchen"),
    ] {
        let found = sources(&knowledge, question).await;
        assert_eq!(
            found.first().map(String::as_str),
            Some(first),
            "{question}: {found:?}"
        );
    }
    for nothing in [
        "Hi",
        "",
        "What is the capital of France?",
        "the and of",
        "Is it noon yet in Tokyo?",
    ] {
        assert!(sources(&knowledge, nothing).await.is_empty(), "{nothing}");
    }
    assert_eq!(
        knowledge
            .find("cars and rooms can be rented and booked", 1)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn what_is_no_text_or_lies_elsewhere_is_left_out() {
    let folder = policies();
    let secret = Folder::new();
    secret.write(
        "secret.md",
        "# Secret\n\nThe password of the vault is swordfish.\n",
    );
    std::os::unix::fs::symlink(secret.path().join("secret.md"), folder.path().join("link.md")).unwrap();
    std::os::unix::fs::symlink(secret.path(), folder.path().join("linked")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
    std::os::unix::fs::symlink("travel.md", folder.path().join("same.md")).unwrap();
    folder.write("latin.txt", b"Stra\xdfe");
    folder.write("picture.png", "vault password");
    folder.write(".git/notes.md", "vault password");
    let knowledge = Directory::open(folder.path()).unwrap();
    assert_eq!(knowledge.size(), (5 + 3, 1), "a link within the folder is a file");
    assert!(
        sources(&knowledge, "What is the password of the vault?")
            .await
            .is_empty()
    );

    let empty = Folder::new();
    let error = Directory::open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("no .md or .txt"), "{error}");
    let error = Directory::open(&empty.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("none cannot be read"), "{error}");
}

#[tokio::test]
async fn files_are_read_again_when_they_change() {
    let folder = policies();
    let knowledge = Directory::open(folder.path()).unwrap();
    let question = "Who waters the office plants?";
    assert!(sources(&knowledge, question).await.is_empty());
    folder.write(
        "plants.md",
        "# Plants\n\nEve waters the office plants on Fridays.\n",
    );
    std::fs::remove_file(folder.path().join("travel.md")).unwrap();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(sources(&knowledge, question).await, ["plants.md#Plants"]);
    assert!(sources(&knowledge, "Can I rent a luxury car?").await.is_empty());
    // a folder that is gone leaves what was read
    std::fs::remove_dir_all(folder.path()).unwrap();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(sources(&knowledge, question).await, ["plants.md#Plants"]);
}

/// A model that answers `yes`, and keeps what it was asked.
#[derive(Debug, Default)]
struct Listener(Mutex<Vec<Vec<Message>>>);

#[async_trait]
impl Model for Listener {
    fn name(&self) -> &str {
        "listener"
    }

    fn provider(&self) -> &'static str {
        "test"
    }

    async fn ask(&self, request: Request<'_>) -> Result<Pieces, Failure> {
        self.0.lock().unwrap().push(request.messages.to_vec());
        let piece = |what| Ok(Piece { block: 0, what });
        let answer = [
            piece(Part::Text("yes".to_owned())),
            piece(Part::Stop(Stop::EndTurn)),
        ];
        Ok(Box::pin(stream::iter(answer)))
    }
}

async fn turn(agent: &Agent, text: &str) -> Vec<Event> {
    let mut turn = agent
        .turn(&Key::new("ada", "talk"), Input::Say(text.to_owned()), None)
        .await
        .unwrap();
    let mut events = Vec::new();
    while let Some(event) = turn.next().await {
        events.push(event);
    }
    events
}

#[tokio::test]
async fn a_turn_tells_its_sources_and_the_model_reads_the_passages() {
    let folder = policies();
    let model = Arc::new(Listener::default());
    let agent = Agent::new(
        Arc::clone(&model) as Arc<dyn Model>,
        Arc::new(Sqlite::in_memory().unwrap()),
    )
    .with_knowledge(Arc::new(Directory::open(folder.path()).unwrap()));
    let events = turn(&agent, "Can I rent a luxury car?").await;
    let told = events.iter().find_map(|event| match event {
        Event::Sources { sources } => Some(sources.clone()),
        _ => None,
    });
    assert_eq!(told.unwrap()[0], "travel.md#Cars");
    let asked = model.0.lock().unwrap().pop().unwrap();
    let passages: Vec<_> = asked[0]
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Passage(passage) => Some(passage),
            _ => None,
        })
        .collect();
    assert!(
        passages[0].text.contains("Luxury cars are not allowed"),
        "{passages:?}"
    );
    assert_eq!(asked[0].text(), "Can I rent a luxury car?");

    let events = turn(&agent, "Thank you!").await;
    assert!(
        !events.iter().any(|event| matches!(event, Event::Sources { .. })),
        "{events:?}"
    );
}

/// Something that answers as Bedrock does, and what it was asked.
async fn bedrock(status: u16, answer: Value) -> (SdkConfig, Arc<Mutex<Vec<(String, Value)>>>) {
    let seen: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let heard = Arc::clone(&seen);
    let service = any(move |request: Asked| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        heard.lock().unwrap().push((
            format!("{} {}", parts.method, parts.uri.path()),
            serde_json::from_slice(&body).unwrap(),
        ));
        (http::StatusCode::from_u16(status).unwrap(), Json(answer))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(service)).await });
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await;
    (config, seen)
}

#[tokio::test]
async fn a_knowledge_base_of_bedrock_is_asked_and_its_sources_are_kept() {
    let s3 = json!({"type": "S3", "s3Location": {"uri": "s3://policies/travel.pdf"}});
    let web = json!({"type": "WEB", "webLocation": {"url": "https://example.com/policies"}});
    let own = json!({"type": "CUSTOM", "customDocumentLocation": {"id": "doc-7"}});
    let result = |text: &str, location: &Value| json!({"content": {"type": "TEXT", "text": text}, "location": location, "score": 0.5});
    let answer = json!({"retrievalResults": [
        result("No luxury cars.", &s3), result("  ", &s3), result("Five days.", &web), result("USA.", &own),
        {"content": {"type": "TEXT", "text": "Nowhere."}},
    ]});
    let (config, seen) = bedrock(200, answer).await;
    let base = BedrockKnowledgeBase::new("KB12345678", &config);
    let found = base.find(&"ü".repeat(2_000), 3).await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|Passage { source, text }| (source.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("s3://policies/travel.pdf", "No luxury cars."),
            ("https://example.com/policies", "Five days."),
            ("doc-7", "USA."),
        ]
    );
    let (line, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(line, "POST /knowledgebases/KB12345678/retrieve");
    assert_eq!(
        body["retrievalConfiguration"],
        json!({"vectorSearchConfiguration": {"numberOfResults": 3}})
    );
    assert_eq!(
        body["retrievalQuery"]["text"].as_str().unwrap().chars().count(),
        500
    );
    assert!(base.find("  ", 3).await.unwrap().is_empty());
    assert!(seen.lock().unwrap().is_empty(), "nothing is asked for nothing");
}

#[tokio::test]
async fn a_knowledge_base_that_does_not_answer_is_noted_and_the_turn_goes_on() {
    let (config, _) = bedrock(
        403,
        json!({"message": "arn:aws:iam::123456789012:role/x is not authorized"}),
    )
    .await;
    let model = Arc::new(Listener::default());
    let agent = Agent::new(model, Arc::new(Sqlite::in_memory().unwrap()))
        .with_knowledge(Arc::new(BedrockKnowledgeBase::new("KB1", &config)));
    let events = turn(&agent, "Can I rent a luxury car?").await;
    let note = events.iter().find_map(|event| match event {
        Event::Note { text } => Some(text.clone()),
        _ => None,
    });
    let note = note.unwrap();
    assert!(
        note.contains("KB1") && note.contains("bedrock:Retrieve"),
        "{note}"
    );
    assert!(!note.contains("123456789012"), "{note}");
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Text { text } if text == "yes"))
    );
}
