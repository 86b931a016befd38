//! Webhooks (specification 3.1.7 to 3.1.10, 4.3, 13.2): signed, in order, again when they do not answer, nowhere private.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::StatusCode;
use serde_json::{Value, json};
use skydock_agent::a2a::{
    protocol::{
        AuthenticationInfo, DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest,
        SendMessageRequest, StreamResponse, TaskPushNotificationConfig, error_code,
    },
    push::{Pace, Push, Signer},
    store::Tasks,
};
use tokio::net::TcpListener;

use super::{
    instance::{
        BINDINGS, Instance, Killable, Puppet, at_once, client, memory, pushing, rpc, says, send, to,
        user_message, webhook, webhooks, within,
    },
    webhook::{Webhook, claims},
};

const ISSUER: &str = "https://agent.example";

fn pem() -> String {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let label = "PRIVATE KEY";
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(key.as_ref())
    )
}

/// Quick, and trusting these origins.
fn push(trusted: &[&str]) -> Push {
    Push::new(Signer::from_pem(pem().as_bytes(), ISSUER).unwrap())
        .with_trusted(trusted.iter().map(|origin| (*origin).to_owned()).collect())
        .with_pace(Pace {
            first: Duration::from_millis(5),
            longest: Duration::from_millis(20),
            attempts: 4,
            poll: Duration::from_millis(30),
            timeout: Duration::from_secs(1),
        })
}

fn config(url: &str) -> TaskPushNotificationConfig {
    webhook(url, "")
}

fn with(mut request: SendMessageRequest, webhook: TaskPushNotificationConfig) -> SendMessageRequest {
    request = at_once(request);
    request
        .configuration
        .as_mut()
        .unwrap()
        .task_push_notification_config = Some(webhook);
    request
}

async fn keys(instance: &Instance) -> Value {
    let url = format!("{}/.well-known/jwks.json", instance.url);
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// What an event tells, shortly.
fn state(event: &Value) -> String {
    let state = |status: &Value| {
        status["state"]
            .as_str()
            .unwrap()
            .trim_start_matches("TASK_STATE_")
            .to_owned()
    };
    match event {
        event if event["task"].is_object() => format!("task {}", state(&event["task"]["status"])),
        event if event["statusUpdate"].is_object() => state(&event["statusUpdate"]["status"]),
        event => event["artifactUpdate"]["artifact"]["artifactId"]
            .as_str()
            .unwrap()
            .to_owned(),
    }
}

const LIFE: [&str; 7] = [
    "task SUBMITTED",
    "WORKING",
    "WORKING",
    "out",
    "out",
    "data",
    "COMPLETED",
];

#[tokio::test]
async fn s4_3_3_a_webhook_gets_every_event_in_order_and_signed() {
    let mut webhook = Webhook::start().await;
    for binding in BINDINGS {
        let instance = pushing(&memory(), &Puppet::new(), push(&[&webhook.origin])).await;
        assert_eq!(
            instance.service.card().capabilities.push_notifications,
            Some(true)
        );
        let keys = keys(&instance).await;
        let client = client(&instance.url, binding, "ada").await;
        let mut wanted = config(&webhook.url());
        wanted.token = Some("my token".to_owned());
        let task = send(&client, with(says("hello"), wanted)).await;
        let mut states = Vec::new();
        let mut seen = BTreeSet::new();
        for sequence in 1..=LIFE.len() {
            let told = webhook.next().await;
            assert_eq!(told.headers["content-type"], "application/json");
            assert_eq!(told.headers["x-a2a-notification-token"], "my token");
            assert_eq!(told.headers["a2a-notification-token"], "my token");
            let claims = told.claims(&keys, &webhook.origin);
            assert_eq!(
                (&claims["iss"], &claims["task"]),
                (&json!(ISSUER), &json!(task.id))
            );
            assert_eq!(claims["sequence"], sequence);
            assert!(seen.insert(claims["jti"].to_string()), "a jti is used once");
            let event: StreamResponse = serde_json::from_slice(&told.body).unwrap();
            drop(event);
            states.push(state(&told.event()));
        }
        assert_eq!(states, LIFE, "{binding}");
    }
}

#[tokio::test]
async fn s4_3_3_the_credentials_that_were_given_are_used() {
    let mut webhook = Webhook::start().await;
    let instance = pushing(&memory(), &Puppet::new(), push(&[&webhook.origin])).await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    let mut wanted = config(&webhook.url());
    wanted.authentication = Some(AuthenticationInfo {
        scheme: "Basic".to_owned(),
        credentials: Some("YTpi".to_owned()),
    });
    send(&client, with(says("hello"), wanted)).await;
    let told = webhook.next().await;
    assert_eq!(told.headers["authorization"], "Basic YTpi");
    let signature = told.headers["x-a2a-signature"].to_str().unwrap();
    claims(signature, &told.body, &keys(&instance).await, &webhook.origin);
}

#[tokio::test]
async fn what_a_webhook_does_not_take_is_told_again_before_anything_else() {
    let mut webhook = Webhook::start().await;
    let instance = pushing(&memory(), &Puppet::new(), push(&[&webhook.origin])).await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    webhook.answers(StatusCode::INTERNAL_SERVER_ERROR);
    send(&client, with(says("hello"), config(&webhook.url()))).await;
    let first = webhook.next().await;
    let again = webhook.next().await;
    assert_eq!(
        (state(&first.event()), state(&again.event())),
        ("task SUBMITTED".to_owned(), "task SUBMITTED".to_owned())
    );
    webhook.answers(StatusCode::OK);
    let mut taken = Vec::new();
    while taken.len() < LIFE.len() {
        let told = webhook.next().await;
        if told.answered == StatusCode::OK {
            taken.push(state(&told.event()));
        }
    }
    assert_eq!(taken, LIFE);
}

/// How a mailbox is when nothing is left to do.
async fn settled(tasks: &Arc<dyn Tasks>, id: &str) -> skydock_agent::a2a::store::Mailbox {
    within(async {
        loop {
            let mailbox = tasks.mailbox(id).await.unwrap().unwrap();
            if mailbox.due.is_none() && mailbox.posts.iter().all(|post| post.settled == mailbox.news) {
                return mailbox;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_webhook_that_never_answers_is_given_up_and_told_of_later_events() {
    let mut webhook = Webhook::start().await;
    let tasks = memory();
    let instance = pushing(&tasks, &Puppet::new(), push(&[&webhook.origin])).await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    webhook.answers(StatusCode::FOUND);
    let task = send(&client, with(says("ask"), config(&webhook.url()))).await;
    let asked = super::instance::becomes(
        &client,
        &task.id,
        skydock_agent::a2a::protocol::TaskState::InputRequired,
    )
    .await;
    let mailbox = settled(&tasks, &task.id).await;
    assert!(mailbox.posts[0].dead.contains(&1), "{mailbox:?}");
    webhook.answers(StatusCode::OK);
    while !webhook.is_quiet() {}
    send(&client, to(&asked, "hello")).await;
    let told = webhook.next().await;
    assert_eq!(state(&told.event()), "SUBMITTED", "what happened later is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_instance_had_not_delivered_another_one_delivers() {
    let mut webhook = Webhook::start().await;
    let tasks = memory();
    let puppet = Puppet::new();
    // it takes webhooks and never gets to tell them
    let first = {
        let runtime_instance = Killable::start(&tasks, &puppet).await;
        let client = client(&runtime_instance.url(), "JSONRPC", "ada").await;
        let task = send(&client, at_once(says("wait"))).await;
        puppet.started(1).await;
        runtime_instance.kill();
        task
    };
    let silent = push(&[&webhook.origin]).with_pace(Pace {
        poll: Duration::from_secs(3600),
        timeout: Duration::from_secs(1),
        ..Pace::default()
    });
    let second = pushing(&tasks, &puppet, silent).await;
    let ada = client(&second.url, "JSONRPC", "ada").await;
    webhook.answers(StatusCode::SERVICE_UNAVAILABLE);
    let mut wanted = config(&webhook.url());
    wanted.task_id.clone_from(&first.id);
    ada.create_push_config(&wanted).await.unwrap();
    puppet.open();
    let refused = webhook.next().await;
    assert_eq!(refused.answered, StatusCode::SERVICE_UNAVAILABLE);
    drop(second);
    webhook.answers(StatusCode::OK);
    let _third = pushing(&tasks, &puppet, push(&[&webhook.origin])).await;
    let told = loop {
        let told = webhook.next().await;
        if told.answered == StatusCode::OK && state(&told.event()) == "COMPLETED" {
            break told;
        }
    };
    assert_eq!(told.event()["statusUpdate"]["taskId"], first.id.as_str());
}

#[tokio::test]
async fn s3_1_7_to_3_1_10_webhooks_are_made_read_listed_and_deleted() {
    for binding in BINDINGS {
        let mut webhook = Webhook::start().await;
        let instance = pushing(&memory(), &Puppet::new(), push(&[&webhook.origin])).await;
        let client = client(&instance.url, binding, "ada").await;
        let asked = send(&client, says("ask")).await;
        let mut wanted = config(&webhook.url());
        wanted.task_id.clone_from(&asked.id);
        let made = client.create_push_config(&wanted).await.unwrap();
        let id = made.id.clone().unwrap();
        assert!(!id.is_empty(), "an id is given");
        wanted.id = Some("mine".to_owned());
        client.create_push_config(&wanted).await.unwrap();
        wanted.token = Some("new".to_owned());
        client.create_push_config(&wanted).await.unwrap();
        let list = webhooks(&asked.id);
        let listed = client.list_push_configs(&list).await.unwrap().configs;
        assert_eq!(
            listed,
            [made.clone(), wanted.clone()],
            "{binding}: one id, one webhook"
        );
        let get = GetTaskPushNotificationConfigRequest {
            task_id: asked.id.clone(),
            id: id.clone(),
            tenant: None,
        };
        assert_eq!(client.get_push_config(&get).await.unwrap(), made);
        let delete = DeleteTaskPushNotificationConfigRequest {
            task_id: asked.id.clone(),
            id,
            tenant: None,
        };
        client.delete_push_config(&delete).await.unwrap();
        client.delete_push_config(&delete).await.unwrap();
        assert_eq!(
            client.get_push_config(&get).await.unwrap_err().code,
            error_code::TASK_NOT_FOUND
        );
        assert_eq!(client.list_push_configs(&list).await.unwrap().configs, [wanted]);
        // only what happens from then on, and only to the one that is left
        send(&client, to(&asked, "hello")).await;
        for expected in [
            "SUBMITTED",
            "WORKING",
            "WORKING",
            "out",
            "out",
            "data",
            "COMPLETED",
        ] {
            let told = webhook.next().await;
            assert_eq!(
                (
                    state(&told.event()).as_str(),
                    &told.headers["x-a2a-notification-token"]
                ),
                (expected, &"new".parse().unwrap())
            );
        }
        assert!(webhook.is_quiet());
    }
}

#[tokio::test]
async fn s13_2_what_is_not_public_is_refused_before_anything_is_sent() {
    let mut webhook = Webhook::start().await;
    let tasks = memory();
    let instance = pushing(&tasks, &Puppet::new(), push(&[])).await;
    let ada = client(&instance.url, "JSONRPC", "ada").await;
    let asked = send(&ada, says("ask")).await;
    let urls = [
        webhook.url(),
        webhook.url().replace("http:", "https:"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[::ffff:127.0.0.1]/hook".to_owned(),
        "https://localhost/hook".to_owned(),
        "http://example.com/hook".to_owned(),
        "file:///etc/passwd".to_owned(),
        "nowhere".to_owned(),
    ];
    for url in urls {
        let mut wanted = config(&url);
        let error = ada
            .send_message(&with(says("hello"), wanted.clone()))
            .await
            .unwrap_err();
        assert_eq!(error.code, error_code::INVALID_PARAMS, "{url}");
        wanted.task_id.clone_from(&asked.id);
        let error = ada.create_push_config(&wanted).await.unwrap_err();
        assert_eq!(error.code, error_code::INVALID_PARAMS, "{url}");
    }
    let mut split = config("https://example.com/hook");
    split.task_id.clone_from(&asked.id);
    split.token = Some("a\r\nHost: b".to_owned());
    assert_eq!(
        ada.create_push_config(&split).await.unwrap_err().code,
        error_code::INVALID_PARAMS
    );

    // a name that leads home is found out when it is looked up
    let task = send(&ada, with(says("hello"), config("https://ip6-localhost/hook"))).await;
    let mailbox = settled(&tasks, &task.id).await;
    assert_eq!(mailbox.posts[0].dead, (1..=7).collect::<Vec<u64>>());
    assert!(webhook.is_quiet());
}

#[tokio::test]
async fn a_task_has_so_many_webhooks_and_no_more() {
    let instance = pushing(&memory(), &Puppet::new(), push(&[])).await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    let asked = send(&client, says("ask")).await;
    let mut wanted = config("https://example.com/hook");
    wanted.task_id.clone_from(&asked.id);
    for _ in 0..10 {
        client.create_push_config(&wanted).await.unwrap();
    }
    let error = client.create_push_config(&wanted).await.unwrap_err();
    assert!(error.message.contains("10 webhooks"), "{error}");
}

#[tokio::test]
async fn keys_that_are_none_are_refused_with_what_would_be_one() {
    let error = Signer::from_pem(b"nothing", ISSUER).unwrap_err();
    assert!(
        error.to_string().contains("P-256 key as PEM in PKCS#8"),
        "{error}"
    );
    let instance = pushing(&memory(), &Puppet::new(), push(&[])).await;
    let answer = rpc(&instance.url, Some("1.0"), "SendMessage", user_message("hi")).await;
    assert!(answer["result"]["task"].is_object());
}

#[tokio::test]
async fn webhooks_that_do_not_answer_keep_no_other_waiting() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // another name, so that it is another host
    let origin = format!("http://localhost:{}", silent.local_addr().unwrap().port());
    let mut webhook = Webhook::start().await;
    let push = push(&[&origin, &webhook.origin]).with_pace(Pace {
        poll: Duration::from_millis(30),
        // longer than the test waits
        timeout: Duration::from_secs(600),
        ..Pace::default()
    });
    let instance = pushing(&memory(), &Puppet::new(), push).await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    for _ in 0..80 {
        send(&client, with(says("hello"), config(&format!("{origin}/hook")))).await;
    }
    within(silent.accept()).await.unwrap();
    send(&client, with(says("hello"), config(&webhook.url()))).await;
    for expected in LIFE {
        assert_eq!(state(&webhook.next().await.event()), expected);
    }
}
