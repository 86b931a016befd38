//! Tasks outlive their workers: killed, stopped, cancelled from elsewhere, or working where nobody answers callers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use skydock_agent::a2a::{
    Dispatch, Limits, Ran, Service,
    protocol::{StreamResponse, TaskState, error_code},
    store::Tasks,
};
use tokio::sync::mpsc;

use super::{
    fickle::{Fault, Fickle},
    instance::{
        BINDINGS, Killable, LIFE, Puppet, all, at_once, becomes, cancels, card_at, client, get, instance,
        limits, memory, says, send, serve, subscribes, told, within,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_is_taken_up_by_another_instance() {
    let tasks = memory();
    let puppet = Puppet::new();
    let first = Killable::start(&tasks, &puppet).await;
    let here = client(&first.url(), "JSONRPC", "ada").await;
    let task = send(&here, at_once(says("wait"))).await;
    puppet.started(1).await;
    let second = instance(&tasks, &puppet).await;
    let there = client(&second.url, "HTTP+JSON", "ada").await;
    let request = subscribes(&task.id);
    let stream = there.subscribe_to_task(&request).await.unwrap();
    first.kill();
    puppet.started(2).await;
    puppet.open();
    let done = becomes(&there, &task.id, TaskState::Completed).await;
    assert_eq!(done.status.message.unwrap().text(), Some("attempt 2"));
    // who watched from elsewhere has seen it through
    let events = all(stream).await;
    assert!(
        matches!(events.last(), Some(StreamResponse::StatusUpdate(update)) if update.status.state.is_terminal())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_at_which_workers_die_is_given_up() {
    let tasks = memory();
    let puppet = Puppet::new();
    let mut id = None;
    for round in 1..=3 {
        let instance = Killable::start(&tasks, &puppet).await;
        if id.is_none() {
            let client = client(&instance.url(), "JSONRPC", "ada").await;
            id = Some(send(&client, at_once(says("wait"))).await.id);
        }
        puppet.started(round).await;
        instance.kill();
    }
    let last = instance(&tasks, &puppet).await;
    let client = client(&last.url, "JSONRPC", "ada").await;
    let failed = becomes(&client, &id.unwrap(), TaskState::Failed).await;
    let text = failed.status.message.unwrap();
    assert_eq!(
        text.text(),
        Some("the task was given up: 3 workers have died at it")
    );
}

#[tokio::test]
async fn an_instance_that_is_stopped_hands_its_tasks_on() {
    let tasks = memory();
    let puppet = Puppet::new();
    let slow = |puppet: &Puppet| {
        let (tasks, puppet) = (Arc::clone(&tasks), puppet.clone());
        // so long that only what was given back is found in time
        let limits = Limits {
            lease: Duration::from_secs(120),
            ..limits()
        };
        serve(move |card| Service::new(card, tasks, Arc::new(puppet)).with_limits(limits))
    };
    let first = slow(&puppet).await;
    let here = client(&first.url, "JSONRPC", "ada").await;
    let task = send(&here, at_once(says("wait"))).await;
    puppet.started(1).await;
    drop(first);
    puppet.ended(1).await;
    let second = slow(&puppet).await;
    let there = client(&second.url, "JSONRPC", "ada").await;
    // its own search may have come too early
    within(async {
        while puppet.begun() < 2 {
            second.service.sweep_once().await.unwrap();
        }
    })
    .await;
    puppet.open();
    let done = becomes(&there, &task.id, TaskState::Completed).await;
    assert_eq!(done.status.message.unwrap().text(), Some("attempt 2"));
}

#[tokio::test]
async fn s3_1_5_a_task_is_cancelled_from_another_instance() {
    for binding in BINDINGS {
        let tasks = memory();
        let puppet = Puppet::new();
        let here = instance(&tasks, &puppet).await;
        let there = instance(&tasks, &puppet).await;
        let ada = client(&here.url, binding, "ada").await;
        let task = send(&ada, at_once(says("wait"))).await;
        puppet.started(1).await;
        let other = client(&there.url, binding, "ada").await;
        let request = cancels(&task.id);
        let cancelled = other.cancel_task(&request).await.unwrap();
        assert_eq!(cancelled.status.state, TaskState::Canceled);
        // its worker sees it, and what it would have said counts no more
        puppet.ended(1).await;
        puppet.open();
        assert_eq!(get(&ada, &task.id).await.status, cancelled.status);
    }
}

#[tokio::test]
async fn a_task_that_takes_too_long_fails() {
    let puppet = Puppet::new();
    let played = puppet.clone();
    let instance = serve(|card| {
        let limits = Limits {
            time: Duration::from_millis(50),
            ..limits()
        };
        Service::new(card, memory(), Arc::new(played)).with_limits(limits)
    })
    .await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    let task = send(&client, says("wait")).await;
    assert_eq!(task.status.state, TaskState::Failed);
    puppet.ended(1).await;
}

#[tokio::test]
async fn what_does_not_fit_into_the_store_is_told_at_once() {
    // as DynamoDB's, it has a bound
    let tasks: Arc<dyn Tasks> = Arc::new(Fickle::new(memory(), |record| {
        let length = serde_json::to_vec(record).unwrap().len();
        (length > 10_000).then_some(Fault::TooLong { length, most: 10_000 })
    }));
    let puppet = Puppet::new();
    let instance = instance(&tasks, &puppet).await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    // it fits, and what it is answered with does not
    let task = send(&client, says(&"x".repeat(4_000))).await;
    assert_eq!(task.status.state, TaskState::Failed);
    let message = task.status.message.unwrap();
    assert!(
        message.text().unwrap().contains("give large artifacts as URLs"),
        "{message:?}"
    );
    assert_eq!(puppet.begun(), 1);
    let error = client.send_message(&says(&"x".repeat(40_000))).await.unwrap_err();
    assert_eq!(error.code, error_code::INVALID_PARAMS, "{error}");
}

/// A queue, as SQS would be.
#[derive(Debug)]
struct Queue(mpsc::UnboundedSender<String>);

#[async_trait]
impl Dispatch for Queue {
    async fn dispatch(&self, task: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.send(task.to_owned())?)
    }
}

/// One that loses everything.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl Dispatch for Broken {
    async fn dispatch(&self, _task: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err("the queue is not there".into())
    }
}

async fn dispatching(tasks: &Arc<dyn Tasks>, dispatch: Arc<dyn Dispatch>) -> super::instance::Instance {
    let tasks = Arc::clone(tasks);
    serve(|card| {
        Service::new(card, tasks, Arc::new(Puppet::new()))
            .with_limits(limits())
            .with_dispatch(dispatch)
    })
    .await
}

#[tokio::test]
async fn where_a_process_freezes_a_queue_has_tasks_done_elsewhere() {
    let tasks = memory();
    let (sender, mut queue) = mpsc::unbounded_channel();
    let front = dispatching(&tasks, Arc::new(Queue(sender))).await;
    let client = client(&front.url, "JSONRPC", "ada").await;
    let asked = tokio::spawn(async move { send(&client, says("hello")).await });
    let id = within(queue.recv()).await.unwrap();
    let worker = Service::new(
        front.service.card().clone(),
        Arc::clone(&tasks),
        Arc::new(Puppet::new()),
    );
    // a queue may deliver twice
    let (one, other) = tokio::join!(worker.run_once(&id), worker.run_once(&id));
    let mut ran = [one.unwrap(), other.unwrap()];
    ran.sort_by_key(|ran| *ran != Ran::Ended);
    assert_eq!(ran[0], Ran::Ended, "{ran:?}");
    assert_ne!(ran[1], Ran::Ended, "{ran:?}");
    assert_eq!(
        asked.await.unwrap().status.state,
        TaskState::Completed,
        "who waited is told"
    );
    assert_eq!(worker.run_once(&id).await.unwrap(), Ran::Nothing);
    assert_eq!(worker.run_once("none").await.unwrap(), Ran::Nothing);
}

#[tokio::test]
async fn what_a_queue_has_lost_is_not_lost() {
    let tasks = memory();
    let front = dispatching(&tasks, Arc::new(Broken)).await;
    let client = client(&front.url, "JSONRPC", "ada").await;
    let task = send(&client, at_once(says("hello"))).await;
    assert_eq!(task.status.state, TaskState::Submitted);
    let later = Timestamp::now() + jiff::SignedDuration::from_secs(61);
    assert_eq!(tasks.stranded(later, 10).await.unwrap(), [task.id]);
}

#[tokio::test]
async fn a_store_that_stutters_loses_nothing_and_doubles_nothing() {
    let faults = [Fault::Refused, Fault::Unsaid];
    for (binding, fault) in BINDINGS.into_iter().zip(faults) {
        let saves = AtomicUsize::new(0);
        let tasks: Arc<dyn Tasks> = Arc::new(Fickle::new(memory(), move |record| {
            // callers are told when theirs is not taken; it is the worker's that is tried again
            let works = record.attempts > 0;
            (works && saves.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)).then_some(fault)
        }));
        let puppet = Puppet::new();
        let instance = instance(&tasks, &puppet).await;
        let client = client(&instance.url, binding, "ada").await;
        let events = all(client.send_streaming_message(&says("hello")).await.unwrap()).await;
        assert_eq!(told(&events), LIFE, "{fault:?}");
        assert_eq!(puppet.begun(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_task_without_a_worker_is_sent_on_once() {
    let tasks = memory();
    let (sender, mut queue) = mpsc::unbounded_channel();
    let front = dispatching(&tasks, Arc::new(Broken)).await;
    let client = client(&front.url, "JSONRPC", "ada").await;
    let id = send(&client, at_once(says("hello"))).await.id;
    let mut record = tasks.load(&id).await.unwrap().unwrap();
    record.lease = None;
    record.version += 1;
    tasks.save(&record, &[]).await.unwrap();
    drop(front);
    let card = card_at("http://agent.example");
    let sweeper = Service::new(card, Arc::clone(&tasks), Arc::new(Puppet::new()))
        .with_dispatch(Arc::new(Queue(sender)));
    let swept = [
        sweeper.sweep_once().await.unwrap(),
        sweeper.sweep_once().await.unwrap(),
    ];
    assert_eq!(swept, [1, 0]);
    assert_eq!(within(queue.recv()).await.unwrap(), id);
    // who gets the message works on it at once
    let card = card_at("http://agent.example");
    let worker = Service::new(card, tasks, Arc::new(Puppet::new()));
    assert_eq!(worker.run_once(&id).await.unwrap(), Ran::Ended);
}
