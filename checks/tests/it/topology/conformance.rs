//! The official suite against three instances that share a store, behind a balancer without affinity.

use std::path::Path;

use checks::{
    dynamodb::DynamoDb,
    fleet::Plan,
    suite::Subject,
    valkey::{Cluster, Valkey},
};

use crate::conformance::{baseline, grade, hold_server};

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");

#[tokio::test]
async fn three_instances_on_valkey_pass_all() {
    let valkey = Valkey::start().await.unwrap();
    three("valkey", &valkey.url(), Vec::new()).await;
}

#[tokio::test]
async fn three_instances_on_a_cluster_of_valkey_pass_all() {
    let cluster = Cluster::start().await.unwrap();
    three(
        "valkey-cluster",
        &format!("{}?cluster=true", cluster.url()),
        Vec::new(),
    )
    .await;
}

#[tokio::test]
async fn three_instances_on_dynamodb_pass_all() {
    let dynamodb = DynamoDb::local().await.unwrap();
    dynamodb.create_table("sessions").await.unwrap();
    let variables = dynamodb.variables().map(|(name, value)| (name.to_owned(), value));
    three("dynamodb", "dynamodb://sessions", variables.into()).await;
    dynamodb.stop().await.unwrap();
}

/// Both revisions, and nothing that is not scored fails either: tasks are followed at any instance.
async fn three(store: &str, place: &str, variables: Vec<(String, String)>) {
    let key = crate::elsewhere::state_key();
    let flags = ["--sessions", place, "--state-key", key.to_str().unwrap()];
    let plan = Plan::of(3, Path::new(SERVER)).flags(&flags).variables(variables);
    let fleet = plan.start().await.unwrap();
    for (revision, bar) in [("2025-11-25", 30), ("2026-07-28", 37)] {
        let subject = Subject::Server(fleet.mcp());
        let report = grade(subject, &format!("three-{store}"), revision).await;
        hold_server(
            &report,
            &baseline().server("stateful", revision),
            &baseline().unscored(&[]),
            bar,
        );
    }
    for status in fleet.stop().await.unwrap() {
        assert!(status.success(), "{status}");
    }
}
