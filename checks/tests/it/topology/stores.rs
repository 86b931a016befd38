//! The stores are what they are taken for.

use checks::{
    dynamodb::DynamoDb,
    valkey::{Cluster, Valkey},
};
use serde_json::{Value, json};

#[tokio::test]
async fn valkey_answers_and_forgets_when_it_is_restarted() {
    let mut valkey = Valkey::start().await.unwrap();
    assert_eq!(valkey.ask(&["PING"]).await.unwrap(), "PONG");
    valkey.ask(&["SET", "name", "Ada\r\nLovelace"]).await.unwrap();
    assert_eq!(valkey.ask(&["GET", "name"]).await.unwrap(), "Ada\r\nLovelace");
    valkey.program().kill().await.unwrap();
    assert!(valkey.ask(&["PING"]).await.is_err());
    valkey.restart().await.unwrap();
    assert_eq!(valkey.ask(&["GET", "name"]).await.unwrap(), Value::Null);
    let error = valkey.ask(&["SET", "name"]).await.unwrap_err();
    assert!(error.to_string().starts_with("ERR wrong number"), "{error}");
}

#[tokio::test]
async fn three_valkeys_are_one_cluster() {
    let mut cluster = Cluster::start().await.unwrap();
    let mut kept = 0;
    for node in cluster.nodes() {
        let told = node.ask(&["CLUSTER", "INFO"]).await.unwrap();
        let told = told.as_str().unwrap();
        for line in ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_size:3"] {
            assert!(told.lines().any(|told| told == line), "no {line}: {told}");
        }
        // each knows where every key is, and keeps its own
        match node.ask(&["SET", "name", "Ada"]).await {
            Ok(_) => kept += 1,
            Err(error) => assert!(error.to_string().starts_with("MOVED "), "{error}"),
        }
    }
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn dynamodb_local_has_the_table() {
    let dynamodb = DynamoDb::local().await.unwrap();
    has_the_table(&dynamodb).await;
    dynamodb.stop().await.unwrap();
}

#[tokio::test]
async fn ministack_has_the_table() {
    let dynamodb = DynamoDb::ministack("ministack-topology").await.unwrap();
    has_the_table(&dynamodb).await;
    dynamodb.stop().await.unwrap();
}

async fn has_the_table(dynamodb: &DynamoDb) {
    dynamodb.create_table("sessions").await.unwrap();
    let table = json!({ "TableName": "sessions" });
    let told = dynamodb.ask("DescribeTimeToLive", &table).await.unwrap();
    let expected = json!({ "AttributeName": "expires", "TimeToLiveStatus": "ENABLED" });
    assert_eq!(told["TimeToLiveDescription"], expected);
    let item = json!({ "pk": { "S": "a" }, "sk": { "S": "b" } });
    let once = json!({
        "TableName": "sessions",
        "Item": item,
        "ConditionExpression": "attribute_not_exists(pk)"
    });
    dynamodb.ask("PutItem", &once).await.unwrap();
    let error = dynamodb.ask("PutItem", &once).await.unwrap_err().to_string();
    assert!(error.contains("ConditionalCheckFailed"), "{error}");
    let found = dynamodb.ask("Scan", &table).await.unwrap();
    assert_eq!(found["Items"], json!([item]));
}
