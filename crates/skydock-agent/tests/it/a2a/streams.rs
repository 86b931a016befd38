//! Streams (specification 3.1.2, 3.1.6, 3.5.2), also of what another instance does.

use futures::StreamExt as _;
use reqwest::header::CONTENT_TYPE;
use skydock_agent::a2a::protocol::{StreamResponse, TaskState};

use super::instance::{
    BINDINGS, LIFE, Puppet, all, alone, at_once, client, instance, memory, says, send, subscribes, to, told,
    user_message, within,
};

#[tokio::test]
async fn s3_1_2_a_stream_begins_with_the_task_and_ends_with_its_end() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let stream = client.send_streaming_message(&says("hello")).await.unwrap();
        let events = all(stream).await;
        assert_eq!(told(&events), LIFE, "{binding}");
    }
}

#[tokio::test]
async fn s3_1_2_a_message_is_all_of_its_stream() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let stream = client.send_streaming_message(&says("message")).await.unwrap();
        assert_eq!(told(&all(stream).await), ["message at once"], "{binding}");
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_caller_is_asked_and_the_next_one_goes_on() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let events = all(client.send_streaming_message(&says("ask")).await.unwrap()).await;
        assert_eq!(told(&events), ["task Submitted", "Working", "InputRequired"]);
        let StreamResponse::Task(task) = &events[0] else {
            panic!("{events:?}")
        };
        let events = all(client.send_streaming_message(&to(task, "hello")).await.unwrap()).await;
        assert_eq!(told(&events), LIFE);
    }
}

#[tokio::test]
async fn s3_1_6_what_one_instance_does_is_seen_at_another() {
    for binding in BINDINGS {
        let tasks = memory();
        let puppet = Puppet::new();
        let here = instance(&tasks, &puppet).await;
        let there = instance(&tasks, &puppet).await;
        let ada = client(&here.url, binding, "ada").await;
        let task = send(&ada, at_once(says("wait"))).await;
        puppet.started(1).await;
        let seen_there = client(&there.url, binding, "ada").await;
        let mut streams = Vec::new();
        for client in [&ada, &seen_there, &seen_there] {
            let mut stream = client.subscribe_to_task(&subscribes(&task.id)).await.unwrap();
            let first = within(stream.next()).await.unwrap().unwrap();
            let StreamResponse::Task(first) = first else {
                panic!("the task is first: {first:?}")
            };
            assert_eq!(first.id, task.id);
            streams.push(stream);
        }
        // closing one changes nothing for the others (3.5.2)
        drop(streams.remove(1));
        puppet.open();
        let mut seen = Vec::new();
        for stream in streams {
            let events = all(stream).await;
            let Some(StreamResponse::StatusUpdate(last)) = events.last() else {
                panic!("{events:?}")
            };
            assert_eq!(last.status.state, TaskState::Completed);
            seen.push(events.last().cloned());
        }
        assert_eq!(seen[0], seen[1], "all see the same");
    }
}

#[tokio::test]
async fn s3_1_6_a_task_that_asks_can_be_subscribed_to() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let asked = send(&client, says("ask")).await;
        let mut stream = client.subscribe_to_task(&subscribes(&asked.id)).await.unwrap();
        let first = within(stream.next()).await.unwrap().unwrap();
        assert_eq!(told(&[first]), ["task InputRequired"]);
        send(&client, to(&asked, "hello")).await;
        let mut events = all(stream).await;
        assert_eq!(told(&events)[0], "Submitted");
        assert_eq!(told(&events.split_off(1)), LIFE[1..]);
    }
}

#[tokio::test]
async fn s9_4_2_and_11_7_streams_are_server_sent_events_with_numbers() {
    let (instance, _) = alone().await;
    let body = serde_json::json!({
        "jsonrpc": "2.0", "id": "a", "method": "SendStreamingMessage", "params": user_message("hello"),
    });
    let requests = [
        reqwest::Client::new().post(&instance.url).json(&body),
        reqwest::Client::new()
            .post(format!("{}/message:stream", instance.url))
            .json(&user_message("hello")),
    ];
    for (request, wrapped) in requests.into_iter().zip([true, false]) {
        let answer = request.header("A2A-Version", "1.0").send().await.unwrap();
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        let text = within(answer.text()).await.unwrap();
        let data: Vec<serde_json::Value> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        assert_eq!(data.len(), LIFE.len(), "{text}");
        let first = if wrapped {
            assert!(
                data.iter()
                    .all(|data| data["id"] == "a" && data["jsonrpc"] == "2.0")
            );
            &data[0]["result"]
        } else {
            &data[0]
        };
        assert!(first["task"].is_object(), "{first}");
    }
}
