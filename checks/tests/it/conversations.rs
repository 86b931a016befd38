//! Conversations of the agent in AWS, as others imitate it: what holds of every store holds of these too.

use std::{net::SocketAddr, sync::Arc};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use checks::{
    dynamodb::DynamoDb,
    ministack,
    program::{self, Program},
    tools,
};
use serde_json::json;
use skydock_agent::store::{self, Draft, Failure, Key, Store};

#[path = "../../../crates/skydock-agent/tests/it/contract.rs"]
mod contract;

/// How AWS is reached at this address.
pub(crate) async fn settings(url: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(url)
        .region("eu-central-1")
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await
}

/// moto with a home of its own.
pub(crate) async fn moto(home: &str) -> Program {
    let moto = tools::python("moto_server").unwrap();
    let home = tools::home(home).unwrap();
    let start = |addr: SocketAddr| {
        let mut command = program::at_home(&moto, &home);
        command.args(["-H", &addr.ip().to_string(), "-p", &addr.port().to_string()]);
        command
    };
    Program::start(start, "/moto-api/").await.unwrap()
}

/// Who asks, for those that do not check it.
pub(crate) fn signed(service: &str) -> String {
    let scope = format!("Credential=test/20260101/eu-central-1/{service}/aws4_request");
    format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_dynamodb_keeps_the_contract() {
    let dynamodb = DynamoDb::local().await.unwrap();
    dynamodb.create_table("conversations").await.unwrap();
    let config = settings(&dynamodb.url()).await;
    let store = store::DynamoDb::new("conversations", &config);
    let connect = || Arc::new(store::DynamoDb::new("conversations", &config)) as Arc<dyn Store>;
    contract::keeps_the_contract([connect(), connect()]).await;

    // what cannot be packed any smaller than an item is too long
    let mut noise: u64 = 7;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[0]
    })
    .take(400_000)
    .collect();
    let key = Key::new("ada", "long");
    let draft = |body| Draft {
        replaces: None,
        title: "",
        body,
    };
    let saved = store.save(&key, draft(&body)).await;
    assert!(matches!(saved, Err(Failure::TooLong { length, most: 380_000 }) if length > 380_000));
    store.save(&key, draft(&body[..370_000])).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap().unwrap().body, body[..370_000]);

    let day = std::time::Duration::from_secs(86_400);
    let key = Key::new("ada", "short-lived");
    store.with_life(day).save(&key, draft(b"{}")).await.unwrap();
    let scan = json!({"TableName": "conversations", "FilterExpression": "attribute_exists(expires)"});
    let found = dynamodb.ask("Scan", &scan).await.unwrap();
    assert_eq!(found["Count"], 1, "{found}");
    let expires: i64 = found["Items"][0]["expires"]["N"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let left = expires - jiff::Timestamp::now().as_second();
    assert!((86_000..=86_400).contains(&left), "{left}");

    let missing = store::DynamoDb::new("no-such-table", &config);
    let failure = missing.load(&key).await.unwrap_err();
    let told = skydock_agent::client::tell(&failure);
    assert!(told.contains("no-such-table"), "{told}");
    dynamodb.stop().await.unwrap();
}

async fn a_bucket_keeps_the_contract(aws: Program) {
    let bucket = reqwest::Client::new()
        .put(aws.url("/conversations"))
        .header("authorization", signed("s3"))
        .body(
            "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>\
             </CreateBucketConfiguration>",
        )
        .send()
        .await
        .unwrap();
    assert!(bucket.status().is_success(), "{}", bucket.text().await.unwrap());
    let config = settings(&aws.url("")).await;
    let connect = |prefix: &str| Arc::new(store::S3::new("conversations", prefix, &config)) as Arc<dyn Store>;
    contract::keeps_the_contract([connect("agent/one"), connect("/agent/one/")]).await;
    // the same at the top of the bucket, where other prefixes are nobody's conversations
    let top = connect("");
    assert!(top.list("ada", 10).await.unwrap().is_empty());
    let missing = store::S3::new("no-such-bucket", "", &config);
    let key = Key::new("ada", "x");
    for failure in [
        missing.load(&key).await.unwrap_err(),
        missing
            .save(
                &key,
                Draft {
                    replaces: Some("\"x\""),
                    title: "",
                    body: b"",
                },
            )
            .await
            .unwrap_err(),
    ] {
        let told = skydock_agent::client::tell(&failure);
        assert!(told.contains("no-such-bucket"), "{told}");
    }
    aws.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_ministack_keeps_the_contract() {
    a_bucket_keeps_the_contract(ministack::start("ministack-conversations").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_moto_keeps_the_contract() {
    a_bucket_keeps_the_contract(moto("moto-conversations").await).await;
}
