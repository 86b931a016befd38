//! Messages and tasks (specification 3.1.1, 3.1.3, 3.1.5, 3.2.2, 3.2.4, 3.4), by the official client on both bindings.

use std::sync::Arc;

use skydock_agent::a2a::{
    Limits, Service,
    protocol::{
        GetTaskRequest, PartContent, Role, SendMessageConfiguration, SendMessageResponse, TaskState,
        error_code,
    },
};

use super::instance::{
    BINDINGS, Puppet, alone, at_once, becomes, cancels, client, get, limits, memory, says, send, serve, to,
    within,
};

#[tokio::test]
async fn s3_1_1_and_3_2_2_a_message_is_waited_for_to_the_end() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let task = send(&client, says("hello")).await;
        assert_eq!(task.status.state, TaskState::Completed, "{binding}");
        assert!(task.status.timestamp.is_some());
        assert!(!task.context_id.is_empty(), "3.4.1: a context is made");
        let artifacts = task.artifacts.clone().unwrap();
        let texts: Vec<_> = artifacts[0]
            .parts
            .iter()
            .map(|part| part.as_text().unwrap())
            .collect();
        assert_eq!(texts, ["one ", "two"], "chunks are one artifact");
        let PartContent::Data(data) = &artifacts[1].parts[0].content else {
            panic!("no data: {artifacts:?}")
        };
        assert_eq!((&data["said"], &data["caller"]), (&"hello".into(), &"ada".into()));
        let history = task.history.clone().unwrap();
        assert_eq!((history.len(), history[0].text()), (1, Some("hello")));
        assert_eq!(history[0].task_id.as_ref(), Some(&task.id));
        assert_eq!(get(&client, &task.id).await, task, "3.1.3");
    }
}

#[tokio::test]
async fn s3_1_1_an_answer_can_be_a_message() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let SendMessageResponse::Message(message) = client.send_message(&says("message")).await.unwrap()
        else {
            panic!("no message")
        };
        assert_eq!(
            (message.role, message.parts[0].as_text()),
            (Role::Agent, Some("at once"))
        );
        assert!(message.context_id.is_some(), "3.4.1");
        let mut request = says("message");
        request.message.context_id = Some("mine".to_owned());
        let SendMessageResponse::Message(message) = client.send_message(&request).await.unwrap() else {
            panic!("no message")
        };
        assert_eq!(message.context_id.as_deref(), Some("mine"), "3.4.1: it is kept");
    }
}

#[tokio::test]
async fn every_end_is_told() {
    let (instance, _) = alone().await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    for (text, state, said) in [
        ("ask", TaskState::InputRequired, "what else?"),
        ("log in", TaskState::AuthRequired, "log in"),
        ("refuse", TaskState::Rejected, "not here"),
        ("fail", TaskState::Failed, "it broke"),
        (
            "panic",
            TaskState::Failed,
            "the agent failed at this task; its log has more",
        ),
    ] {
        let task = send(&client, says(text)).await;
        assert_eq!(task.status.state, state, "{text}");
        let message = task.status.message.unwrap();
        assert_eq!(message.text(), Some(said), "{text}");
        assert_eq!(
            (message.task_id, message.context_id),
            (Some(task.id), Some(task.context_id))
        );
    }
}

#[tokio::test]
async fn s3_2_2_return_immediately_does() {
    for binding in BINDINGS {
        let (instance, puppet) = alone().await;
        let client = client(&instance.url, binding, "ada").await;
        let task = send(&client, at_once(says("wait"))).await;
        assert!(!task.status.state.is_terminal(), "{binding}: {:?}", task.status);
        puppet.started(1).await;
        puppet.open();
        becomes(&client, &task.id, TaskState::Completed).await;
    }
}

#[tokio::test]
async fn s3_4_2_a_task_that_asks_goes_on_with_what_it_is_told() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let asked = send(&client, says("ask")).await;
        // the context is the task's, also when only the task is named
        let done = send(&client, to(&asked, "hello")).await;
        assert_eq!((&done.id, &done.context_id), (&asked.id, &asked.context_id));
        assert_eq!(done.status.state, TaskState::Completed);
        let said: Vec<_> = done
            .history
            .unwrap()
            .iter()
            .map(|said| said.text().unwrap().to_owned())
            .collect();
        assert_eq!(said, ["ask", "what else?", "hello"]);

        let mut other = to(&asked, "hello");
        other.message.context_id = Some("another".to_owned());
        let error = client.send_message(&other).await.unwrap_err();
        assert_eq!(error.code, error_code::INVALID_PARAMS, "3.4.3: {error}");
        let error = client.send_message(&to(&asked, "hello")).await.unwrap_err();
        assert_eq!(
            error.code,
            error_code::UNSUPPORTED_OPERATION,
            "3.1.1: it is over: {error}"
        );

        let mut next = says("hello");
        next.message.context_id = Some(asked.context_id.clone());
        let next = send(&client, next).await;
        assert_eq!(next.context_id, asked.context_id, "3.4.1");
        assert_ne!(next.id, asked.id);
    }
}

#[tokio::test]
async fn a_task_that_is_worked_on_takes_no_message() {
    let (instance, puppet) = alone().await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    let task = send(&client, at_once(says("wait"))).await;
    let error = client.send_message(&to(&task, "more")).await.unwrap_err();
    assert_eq!(error.code, error_code::UNSUPPORTED_OPERATION);
    assert!(error.message.contains("being worked on"), "{error}");
    puppet.open();
}

#[tokio::test]
async fn s3_2_4_history_is_cut_as_is_wanted() {
    let (instance, _) = alone().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let asked = send(&client, says("ask")).await;
        let mut request = to(&asked, "hello");
        request.configuration = Some(SendMessageConfiguration {
            accepted_output_modes: None,
            task_push_notification_config: None,
            history_length: Some(1),
            return_immediately: None,
        });
        let done = send(&client, request).await;
        assert_eq!(done.history.unwrap().len(), 1);
        for (length, expected) in [
            (None, Some(3)),
            (Some(2), Some(2)),
            (Some(9), Some(3)),
            (Some(0), None),
        ] {
            let request = GetTaskRequest {
                id: asked.id.clone(),
                history_length: length,
                tenant: None,
            };
            let task = client.get_task(&request).await.unwrap();
            let said = task.history.filter(|history| !history.is_empty());
            assert_eq!(said.as_ref().map(Vec::len), expected, "{length:?}");
            if let Some(said) = said {
                assert_eq!(said.last().unwrap().text(), Some("hello"), "the most recent ones");
            }
        }
    }
}

#[tokio::test]
async fn s3_1_5_a_task_is_cancelled_once_and_for_all() {
    for binding in BINDINGS {
        let (instance, puppet) = alone().await;
        let client = client(&instance.url, binding, "ada").await;
        let task = send(&client, at_once(says("wait"))).await;
        puppet.started(1).await;
        let request = cancels(&task.id);
        let cancelled = client.cancel_task(&request).await.unwrap();
        assert_eq!(cancelled.status.state, TaskState::Canceled);
        puppet.ended(1).await;
        // 3.3.1: again is the same
        let again = client.cancel_task(&request).await.unwrap();
        assert_eq!(again.status, cancelled.status);
        assert_eq!(get(&client, &task.id).await.status, cancelled.status);

        let waiting = send(&client, says("ask")).await;
        let request = cancels(&waiting.id);
        let cancelled = client.cancel_task(&request).await.unwrap();
        assert_eq!(cancelled.status.state, TaskState::Canceled);
        let done = send(&client, says("hello")).await;
        let request = cancels(&done.id);
        let error = client.cancel_task(&request).await.unwrap_err();
        assert_eq!(error.code, error_code::TASK_NOT_CANCELABLE);
    }
}

#[tokio::test]
async fn an_agent_whose_places_are_taken_says_so() {
    let puppet = Puppet::new();
    let played = puppet.clone();
    let instance = serve(|card| {
        let limits = Limits {
            parallel: 1,
            waiting: 1,
            ..limits()
        };
        Service::new(card, memory(), Arc::new(played)).with_limits(limits)
    })
    .await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    let first = send(&client, at_once(says("wait"))).await;
    puppet.started(1).await;
    let second = send(&client, at_once(says("wait"))).await;
    let error = client.send_message(&at_once(says("wait"))).await.unwrap_err();
    assert!(error.message.contains("the agent is busy: 2 tasks"), "{error}");
    assert_eq!(
        get(&client, &second.id).await.status.state,
        TaskState::Submitted,
        "one at a time"
    );
    puppet.open();
    becomes(&client, &first.id, TaskState::Completed).await;
    becomes(&client, &second.id, TaskState::Completed).await;
    // places are given back; the last one just now
    within(async { while client.send_message(&says("hello")).await.is_err() {} }).await;
}
