//! Lists (specification 3.1.4), and that callers reach nothing of each other (13.1).

use serde_json::json;
use skydock_agent::a2a::{
    protocol::{
        A2AError, DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest,
        ListTasksRequest, SubscribeToTaskRequest, TaskPushNotificationConfig, TaskState, error_code,
    },
    push::{Push, Signer},
};

use super::instance::{
    BINDINGS, Client, Puppet, alone, at_once, cancels, client, get, gets, instance, lists, memory, pushing,
    rpc, says, send, subscribes, to, webhook, webhooks,
};

async fn ids(client: &Client, request: ListTasksRequest) -> Vec<String> {
    let page = client.list_tasks(&request).await.unwrap();
    page.tasks.into_iter().map(|task| task.id).collect()
}

#[tokio::test]
async fn s3_1_4_tasks_are_listed_the_latest_first_page_by_page() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, binding).await;
        let mut sent = Vec::new();
        for _ in 0..5 {
            sent.insert(0, send(&client, says("hello")).await.id);
        }
        assert_eq!(ids(&client, lists()).await, sent);
        let mut seen = Vec::new();
        let mut request = ListTasksRequest {
            page_size: Some(2),
            ..lists()
        };
        loop {
            let page = client.list_tasks(&request).await.unwrap();
            assert_eq!((page.total_size, page.page_size), (5, 2));
            assert!(page.tasks.len() <= 2);
            seen.extend(page.tasks.into_iter().map(|task| task.id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = Some(page.next_page_token);
        }
        assert_eq!(seen, sent);
    }
}

#[tokio::test]
async fn s3_1_4_what_is_always_and_never_there() {
    let (instance, _) = alone().await;
    let ada = client(&instance.url, "JSONRPC", "nobody").await;
    let empty = rpc(&instance.url, Some("1.0"), "ListTasks", json!({})).await;
    assert_eq!(empty["result"]["nextPageToken"], "", "{empty}");
    send(&ada, says("hello")).await;
    let listed = rpc(&instance.url, Some("1.0"), "ListTasks", json!({})).await;
    assert_eq!(listed["result"]["nextPageToken"], "");
    assert!(
        listed["result"]["tasks"][0].get("artifacts").is_none(),
        "{listed}"
    );
    let listed = rpc(
        &instance.url,
        Some("1.0"),
        "ListTasks",
        json!({"includeArtifacts": true}),
    )
    .await;
    assert!(listed["result"]["tasks"][0]["artifacts"].is_array(), "{listed}");
}

#[tokio::test]
async fn s3_1_4_filters_hold_together() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, binding).await;
        let asked = send(&client, says("ask")).await;
        let mut request = says("hello");
        request.message.context_id = Some(asked.context_id.clone());
        let done = send(&client, request).await;
        let other = send(&client, says("hello")).await;
        let context = ListTasksRequest {
            context_id: Some(asked.context_id.clone()),
            ..lists()
        };
        assert_eq!(
            ids(&client, context.clone()).await,
            [done.id.clone(), asked.id.clone()]
        );
        let waiting = ListTasksRequest {
            status: Some(TaskState::InputRequired),
            ..context.clone()
        };
        assert_eq!(ids(&client, waiting).await, std::slice::from_ref(&asked.id));
        let done_ones = ListTasksRequest {
            status: Some(TaskState::Completed),
            ..lists()
        };
        assert_eq!(ids(&client, done_ones).await, [other.id.clone(), done.id.clone()]);
        let after = ListTasksRequest {
            status_timestamp_after: other.status.timestamp,
            ..lists()
        };
        assert_eq!(ids(&client, after).await, std::slice::from_ref(&other.id));
        // what changes is the latest
        send(&client, to(&asked, "hello")).await;
        assert_eq!(ids(&client, lists()).await, [asked.id, other.id, done.id]);
    }
}

#[tokio::test]
async fn s13_1_a_callers_task_is_not_there_for_another() {
    let tasks = memory();
    let puppet = Puppet::new();
    let push = Push::new(Signer::generate("https://agent.example").unwrap());
    let instance = pushing(&tasks, &puppet, push).await;
    for binding in BINDINGS {
        let ada = client(&instance.url, binding, "ada").await;
        let eve = client(&instance.url, binding, "eve").await;
        let task = send(&ada, at_once(says("wait"))).await;
        let id = task.id.clone();
        let config = TaskPushNotificationConfig {
            id: Some("c".to_owned()),
            ..webhook("https://example.com/hook", &id)
        };
        ada.create_push_config(&config).await.unwrap();
        let get = gets(&id);
        let cancel = cancels(&id);
        let subscribe = subscribes(&id);
        let one = GetTaskPushNotificationConfigRequest {
            task_id: id.clone(),
            id: "c".to_owned(),
            tenant: None,
        };
        let list = webhooks(&id);
        let delete = DeleteTaskPushNotificationConfigRequest {
            task_id: id.clone(),
            id: "c".to_owned(),
            tenant: None,
        };
        let refused: [(&str, A2AError); 9] = [
            ("get", eve.get_task(&get).await.unwrap_err()),
            ("cancel", eve.cancel_task(&cancel).await.unwrap_err()),
            ("subscribe", stream_error(&eve, &subscribe).await),
            ("send", eve.send_message(&to(&task, "hello")).await.unwrap_err()),
            ("create", eve.create_push_config(&config).await.unwrap_err()),
            ("config", eve.get_push_config(&one).await.unwrap_err()),
            ("configs", eve.list_push_configs(&list).await.unwrap_err()),
            ("delete", eve.delete_push_config(&delete).await.unwrap_err()),
            ("nothing", eve.get_task(&gets("none")).await.unwrap_err()),
        ];
        for (operation, error) in refused {
            assert_eq!(
                error.code,
                error_code::TASK_NOT_FOUND,
                "{binding} {operation}: {error}"
            );
        }
        assert!(ids(&eve, lists()).await.is_empty());
        assert!(!super::instance::get(&ada, &id).await.status.state.is_terminal());
        assert_eq!(ada.list_push_configs(&list).await.unwrap().configs.len(), 1);
    }
}

async fn stream_error(client: &Client, request: &SubscribeToTaskRequest) -> A2AError {
    use futures::StreamExt as _;
    match client.subscribe_to_task(request).await {
        Err(error) => error,
        Ok(mut stream) => stream.next().await.unwrap().unwrap_err(),
    }
}

#[tokio::test]
async fn callers_without_a_name_are_the_services_user() {
    let tasks = memory();
    let puppet = Puppet::new();
    let instance = instance(&tasks, &puppet).await;
    let done = rpc(
        &instance.url,
        Some("1.0"),
        "SendMessage",
        super::instance::user_message("hi"),
    )
    .await;
    let id = done["result"]["task"]["id"].as_str().unwrap();
    let nobody = client(&instance.url, "JSONRPC", "nobody").await;
    assert_eq!(get(&nobody, id).await.id, id);
}
