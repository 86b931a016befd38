//! `skydock emulate`, asked for what cannot be. What it does right is tested where there are programs to run: in `checks`.

use crate::program::skydock;

#[tokio::test]
async fn every_fault_is_named_at_once() {
    let words = [
        "emulate",
        "alb",
        "--environments",
        "0",
        "--timeout",
        "901",
        "--recycle",
        "0",
        "--lambda-response",
        "stream",
        "--stage",
        "a b",
        "--authorizer",
        "'",
        "--authorizer-ttl",
        "3601",
        "--",
        "pizza",
    ];
    let ran = skydock(&words).await.ended(2);
    for named in [
        "--environments 0",
        "--timeout 901",
        "--recycle 0",
        "\"stream\"",
        "alb has no stages",
        "\"a b\"",
        "alb has no Lambda authorizer",
        "is no command line",
        "--authorizer-ttl 3601",
    ] {
        assert!(ran.stderr.contains(named), "{named} is missing in {ran:?}");
    }
    assert!(ran.stdout.is_empty(), "{ran:?}");
    let ran = skydock(&["emulate", "url", "--multi-value", "--", "pizza"])
        .await
        .ended(2);
    assert!(ran.stderr.contains("url is no load balancer"), "{ran:?}");
}

#[tokio::test]
async fn a_door_that_there_is_not_is_a_fault_and_all_doors_are_named() {
    let ran = skydock(&["emulate", "apigw", "--", "pizza"]).await.ended(2);
    for door in [
        "apigw-v1",
        "apigw-v1-stream",
        "apigw-v2",
        "url",
        "url-stream",
        "alb",
        "invoke",
        "agentcore-target",
    ] {
        assert!(ran.stderr.contains(door), "{door}: {ran:?}");
    }
    let ran = skydock(&["emulate", "url"]).await.ended(2);
    assert!(ran.stderr.contains("COMMAND"), "{ran:?}");
}

#[tokio::test]
async fn it_listens_on_loopback_only_and_says_when_a_port_is_taken() {
    let ran = skydock(&["emulate", "url", "--listen", "0.0.0.0:0", "--", "pizza"])
        .await
        .ended(2);
    assert!(
        ran.stderr.contains("the emulator asks nobody who they are"),
        "{ran:?}"
    );
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = skydock(&["emulate", "url", "--listen", &address, "--", "pizza"])
        .await
        .ended(2);
    assert!(ran.stderr.contains("in use by another program"), "{ran:?}");
}

#[tokio::test]
async fn a_program_that_cannot_start_ends_it_with_the_reason() {
    let listen = ["emulate", "url", "--listen", "127.0.0.1:0", "--"];
    let ran = skydock(&[&listen[..], &["/nowhere/pizza"]].concat())
        .await
        .ended(1);
    assert!(ran.stderr.contains("cannot start /nowhere/pizza"), "{ran:?}");
    let ran = skydock(&[&listen[..], &["sh", "-c", "echo no oven >&2; exit 3"]].concat())
        .await
        .ended(1);
    assert!(
        ran.stderr.contains("no oven") && ran.stderr.contains("exit status 3"),
        "{ran:?}"
    );
    assert!(ran.stdout.is_empty(), "no URL is told: {ran:?}");
}
