//! Tasks of agents in a table of DynamoDB: it keeps the contract that SQLite keeps, and instances share what is in it.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType,
    },
};
use checks::dynamodb::DynamoDb;
use skydock_agent::a2a::{
    End, Executor, Job, Lost, Ran, Service, Sink, card,
    protocol::{Message, Part, Role, Task, TaskState, TaskStatus},
    store::{self, Record, Tasks},
};

use self::contract::keeps_the_contract;
use crate::conversations::settings;

#[path = "../../../crates/skydock-agent/tests/it/a2a/contract.rs"]
mod contract;

/// The table of the tasks.
pub(crate) const TABLE: &str = "a2a";

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(kind)
        .build()
        .unwrap()
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder()
        .attribute_name(name)
        .key_type(kind)
        .build()
        .unwrap()
}

/// The table, as `docs/guide/a2a.md` describes it.
async fn create(config: &SdkConfig) {
    let due = GlobalSecondaryIndex::builder()
        .index_name("due")
        .key_schema(key("queue", KeyType::Hash))
        .key_schema(key("due", KeyType::Range))
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::KeysOnly)
                .build(),
        )
        .build()
        .unwrap();
    let made = Client::new(config)
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk", ScalarAttributeType::S))
        .attribute_definitions(attribute("sk", ScalarAttributeType::S))
        .attribute_definitions(attribute("queue", ScalarAttributeType::S))
        .attribute_definitions(attribute("due", ScalarAttributeType::N))
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .global_secondary_indexes(due);
    made.send().await.unwrap();
}

/// DynamoDB with the table.
pub(crate) async fn local() -> (DynamoDb, SdkConfig) {
    let dynamodb = DynamoDb::local().await.unwrap();
    let config = settings(&dynamodb.url()).await;
    create(&config).await;
    (dynamodb, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_keeps_the_contract() {
    let (dynamodb, config) = local().await;
    let connect = || Arc::new(store::DynamoDb::new(TABLE, &config)) as Arc<dyn Tasks>;
    keeps_the_contract([connect(), connect()]).await;
    dynamodb.stop().await.unwrap();
}

/// Answers with the attempt that it is.
#[derive(Debug)]
struct Counting;

#[async_trait]
impl Executor for Counting {
    async fn execute(&self, job: Job, sink: &Sink) -> Result<End, Lost> {
        sink.working("counting").await?;
        let said = format!("attempt {}", job.attempt);
        Ok(End::Completed(Some(Message::new(
            Role::Agent,
            vec![Part::text(said)],
        ))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_worker_died_is_found_in_the_table_and_done() {
    let (dynamodb, config) = local().await;
    let tasks: Arc<dyn Tasks> = Arc::new(store::DynamoDb::new(TABLE, &config));
    let message = Message::new(Role::User, vec![Part::text("hello")]);
    // as a worker leaves it that was killed
    let died = Record {
        task: Task {
            id: "died".to_owned(),
            context_id: "context".to_owned(),
            status: TaskStatus {
                state: TaskState::Working,
                message: None,
                timestamp: None,
            },
            artifacts: None,
            history: Some(vec![message.clone()]),
            metadata: None,
        },
        caller: "ada".to_owned(),
        version: 1,
        sequence: 0,
        changed: jiff::Timestamp::now(),
        message,
        lease: Some(store::Lease {
            holder: "somebody".to_owned(),
            until: jiff::Timestamp::now(),
        }),
        attempts: 1,
        released: 0,
        mail: false,
        expires: jiff::Timestamp::MAX,
    };
    tasks.save(&died, &[]).await.unwrap();
    let card = card("Counting", "Counts.", "http://127.0.0.1:1", Vec::new());
    let service = Service::new(card, Arc::clone(&tasks), Arc::new(Counting));
    let found = tasks.stranded(jiff::Timestamp::now(), 10).await.unwrap();
    assert_eq!(found, ["died"]);
    assert_eq!(service.run_once("died").await.unwrap(), Ran::Ended);
    let done = tasks.load("died").await.unwrap().unwrap();
    assert_eq!(done.task.status.state, TaskState::Completed);
    assert_eq!(done.task.status.message.unwrap().text(), Some("attempt 2"));
    assert!(tasks.stranded(jiff::Timestamp::MAX, 10).await.unwrap().is_empty());
    dynamodb.stop().await.unwrap();
}
