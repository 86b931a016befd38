//! What holds of each store of tasks, whoever meets in it. `checks` asks it of DynamoDB, too.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{Timestamp, ToSpan as _};
use skydock_agent::a2a::{
    protocol::{
        Message, Part, Role, StreamResponse, Task, TaskPushNotificationConfig, TaskState, TaskStatus,
        TaskStatusUpdateEvent,
    },
    store::{Cursor, Failure, Filter, Lease, Mailbox, Post, Record, Tasks},
};

/// Two that share what is in them, as two processes would.
pub(crate) type Stores = [Arc<dyn Tasks>; 2];

pub(crate) async fn keeps_the_contract(stores: Stores) {
    a_task_is_made_once_and_read_as_it_was_written(&stores).await;
    nobody_writes_over_what_he_has_not_read(&stores).await;
    of_many_who_change_a_task_each_changes_it_once(&stores).await;
    events_are_in_their_order_and_whole(&stores).await;
    lists_have_the_latest_first_in_pages(&stores).await;
    lists_are_filtered_and_follow_changes(&stores).await;
    a_task_that_nobody_holds_is_found(&stores).await;
    a_mailbox_is_told_and_forgets_no_news(&stores).await;
}

/// A task that is written for the first time, in this state.
fn record(id: &str, caller: &str, state: TaskState) -> Record {
    let message = Message::new(
        Role::User,
        vec![Part::text("hello, wörld"), Part::raw(vec![0, 255])],
    );
    Record {
        task: Task {
            id: id.to_owned(),
            context_id: format!("context of {caller}"),
            status: TaskStatus {
                state,
                message: None,
                timestamp: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            },
            artifacts: None,
            history: Some(vec![message.clone()]),
            metadata: None,
        },
        caller: caller.to_owned(),
        version: 1,
        sequence: 0,
        changed: Timestamp::now(),
        message,
        lease: None,
        attempts: 0,
        released: 0,
        mail: false,
        expires: Timestamp::MAX,
    }
}

fn event(record: &Record, text: &str) -> StreamResponse {
    StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: record.task.id.clone(),
        context_id: record.task.context_id.clone(),
        status: TaskStatus {
            state: TaskState::Working,
            message: Some(Message::new(Role::Agent, vec![Part::text(text)])),
            timestamp: None,
        },
        metadata: None,
    })
}

fn next(record: &Record) -> Record {
    Record {
        version: record.version + 1,
        ..record.clone()
    }
}

fn is_conflict(done: &Result<(), Failure>) -> bool {
    matches!(done, Err(Failure::Conflict))
}

async fn a_task_is_made_once_and_read_as_it_was_written([one, two]: &Stores) {
    assert!(one.load("made").await.unwrap().is_none());
    let record = record("made", "ada", TaskState::InputRequired);
    one.save(&record, &[]).await.unwrap();
    assert_eq!(two.load("made").await.unwrap().unwrap(), record);
    let other = Record {
        caller: "eve".to_owned(),
        ..record.clone()
    };
    assert!(is_conflict(&two.save(&other, &[]).await));
    assert_eq!(one.load("made").await.unwrap().unwrap(), record);
    assert!(is_conflict(
        &two.save(&next(&self::record("never", "ada", TaskState::Working)), &[])
            .await
    ));
    assert!(one.load("never").await.unwrap().is_none());
}

async fn nobody_writes_over_what_he_has_not_read([one, two]: &Stores) {
    let first = record("versions", "ada", TaskState::InputRequired);
    one.save(&first, &[]).await.unwrap();
    let mut second = next(&first);
    second.attempts = 7;
    one.save(&second, &[]).await.unwrap();
    // what was refused leaves nothing behind
    let mut late = next(&first);
    late.sequence = 1;
    late.mail = true;
    assert!(is_conflict(&two.save(&late, &[event(&late, "late")]).await));
    assert!(two.log("versions", 0, 10).await.unwrap().is_empty());
    assert_eq!(two.load("versions").await.unwrap().unwrap().attempts, 7);
}

async fn of_many_who_change_a_task_each_changes_it_once(stores: &Stores) {
    let first = record("many", "ada", TaskState::InputRequired);
    stores[0].save(&first, &[]).await.unwrap();
    let workers = (0..8_usize).map(|number| {
        let store = Arc::clone(&stores[number % 2]);
        tokio::spawn(async move {
            for _ in 0..5 {
                loop {
                    let mut record = next(&store.load("many").await.unwrap().unwrap());
                    record.sequence += 1;
                    let event = event(&record, &format!("of {number}"));
                    match store.save(&record, &[event]).await {
                        Ok(()) => break,
                        Err(Failure::Conflict) => {}
                        Err(failure) => panic!("{failure:?}"),
                    }
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let record = stores[1].load("many").await.unwrap().unwrap();
    assert_eq!((record.version, record.sequence), (41, 40));
    let log = stores[0].log("many", 0, 100).await.unwrap();
    let numbers: Vec<_> = log.iter().map(|logged| logged.sequence).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<u64>>());
}

async fn events_are_in_their_order_and_whole([one, two]: &Stores) {
    let mut record = record("log", "ada", TaskState::Working);
    record.lease = Some(Lease {
        holder: "me".to_owned(),
        until: Timestamp::MAX,
    });
    record.sequence = 3;
    let mut events: Vec<_> = (1..=3)
        .map(|number| event(&record, &number.to_string()))
        .collect();
    events[0] = StreamResponse::Task(record.task.clone());
    one.save(&record, &events).await.unwrap();
    for number in 4..=12 {
        record = next(&record);
        record.sequence = number;
        events.push(event(&record, &number.to_string()));
        one.save(&record, &events[events.len() - 1..]).await.unwrap();
    }
    let log = two.log("log", 0, 100).await.unwrap();
    assert_eq!(
        log.iter().map(|logged| logged.event.clone()).collect::<Vec<_>>(),
        events
    );
    let page: Vec<_> = two
        .log("log", 8, 3)
        .await
        .unwrap()
        .iter()
        .map(|logged| logged.sequence)
        .collect();
    assert_eq!(page, [9, 10, 11]);
    assert!(two.log("log", 12, 3).await.unwrap().is_empty());
    assert!(two.log("another", 0, 3).await.unwrap().is_empty());
}

fn filter() -> Filter {
    Filter {
        size: 10,
        ..Filter::default()
    }
}

/// The ids of a page, how many there are in all, and where the next page begins.
async fn listed(store: &Arc<dyn Tasks>, filter: &Filter) -> (String, usize, Option<Cursor>) {
    let page = store.list("lister", filter).await.unwrap();
    let ids: Vec<_> = page.records.into_iter().map(|record| record.task.id).collect();
    (ids.join(" "), page.total, page.next)
}

async fn lists_have_the_latest_first_in_pages([one, two]: &Stores) {
    for (number, state) in [
        TaskState::Completed,
        TaskState::InputRequired,
        TaskState::Completed,
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = record(&format!("list-{number}"), "lister", state);
        record.task.context_id = format!("context-{}", number % 2);
        record.task.status.timestamp = Some(format!("2027-02-0{}T00:00:00Z", number + 1).parse().unwrap());
        one.save(&record, &[]).await.unwrap();
    }
    one.save(&record("of-another", "other", TaskState::Completed), &[])
        .await
        .unwrap();
    assert_eq!(
        listed(two, &filter()).await,
        ("list-2 list-1 list-0".to_owned(), 3, None)
    );
    let two_of_them = Filter { size: 2, ..filter() };
    let (first, total, cursor) = listed(two, &two_of_them).await;
    assert_eq!((first.as_str(), total), ("list-2 list-1", 3));
    assert!(cursor.is_some());
    let rest = listed(
        two,
        &Filter {
            cursor,
            ..two_of_them
        },
    )
    .await;
    assert_eq!(rest, ("list-0".to_owned(), 3, None));
}

async fn lists_are_filtered_and_follow_changes([one, two]: &Stores) {
    let context = |context: &str| Filter {
        context: Some(context.to_owned()),
        ..filter()
    };
    let waiting = Filter {
        state: Some(TaskState::InputRequired),
        ..filter()
    };
    let after = Filter {
        after: Some("2027-02-02T00:00:00Z".parse().unwrap()),
        ..filter()
    };
    let filters = [
        (context("context-0"), "list-2 list-0"),
        (context("none"), ""),
        (waiting, "list-1"),
        (after, "list-2 list-1"),
    ];
    for (filter, expected) in filters {
        assert_eq!(listed(two, &filter).await.0, expected, "{filter:?}");
    }
    let read = one.load("list-0").await.unwrap().unwrap();
    let mut changed = next(&read);
    changed.task.status.timestamp = Some("2027-03-01T00:00:00Z".parse().unwrap());
    one.save(&changed, &[]).await.unwrap();
    assert_eq!(listed(two, &filter()).await.0, "list-0 list-2 list-1");
}

async fn a_task_that_nobody_holds_is_found([one, two]: &Stores) {
    let now = Timestamp::now();
    let held = |until| {
        Some(Lease {
            holder: "somebody".to_owned(),
            until,
        })
    };
    let cases = [
        ("free", TaskState::Submitted, None),
        ("died", TaskState::Working, held(now - 1.second())),
        ("held", TaskState::Working, held(now + 60.seconds())),
        ("done", TaskState::Completed, None),
        ("asks", TaskState::InputRequired, None),
    ];
    for (id, state, lease) in cases {
        let record = Record {
            lease,
            ..record(&format!("stranded-{id}"), "ada", state)
        };
        one.save(&record, &[]).await.unwrap();
    }
    let found = async |now| {
        let found = two.stranded(now, 100).await.unwrap();
        found
            .into_iter()
            .filter(|id| id.starts_with("stranded-"))
            .collect::<BTreeSet<_>>()
    };
    let ids = |ids: &[&str]| {
        ids.iter()
            .map(|id| format!("stranded-{id}"))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(found(now).await, ids(&["free", "died"]));
    assert_eq!(found(now + 61.seconds()).await, ids(&["free", "died", "held"]));
    let read = two.load("stranded-free").await.unwrap().unwrap();
    let mut done = next(&read);
    done.task.status.state = TaskState::Completed;
    one.save(&done, &[]).await.unwrap();
    assert_eq!(
        found(now).await,
        ids(&["died"]),
        "what is over is not found any more"
    );
}

/// The mailbox of the task `mail`.
fn mailbox() -> Mailbox {
    let config = TaskPushNotificationConfig {
        url: "https://example.com/hook".to_owned(),
        id: Some("c".to_owned()),
        task_id: "mail".to_owned(),
        token: Some("token".to_owned()),
        authentication: None,
        tenant: None,
    };
    Mailbox {
        task: "mail".to_owned(),
        caller: "ada".to_owned(),
        posts: vec![Post {
            config,
            settled: 0,
            attempts: 0,
            due: Timestamp::UNIX_EPOCH,
            dead: Vec::new(),
        }],
        version: 1,
        news: 0,
        due: None,
        claimed: Timestamp::UNIX_EPOCH,
        expires: Timestamp::MAX,
    }
}

async fn a_mailbox_is_told_and_forgets_no_news([one, two]: &Stores) {
    let mut record = record("mail", "ada", TaskState::InputRequired);
    record.mail = true;
    let mailbox = mailbox();
    assert!(one.mailbox("mail").await.unwrap().is_none());
    one.put_mailbox(&mailbox).await.unwrap();
    assert!(is_conflict(&two.put_mailbox(&mailbox).await));
    assert_eq!(two.mailbox("mail").await.unwrap().unwrap(), mailbox);
    let soon = Timestamp::now() + 60.seconds();
    assert!(!two.mail(soon, 100).await.unwrap().contains(&"mail".to_owned()));
    record.sequence = 1;
    one.save(&record, &[event(&record, "news")]).await.unwrap();
    assert!(two.mail(soon, 100).await.unwrap().contains(&"mail".to_owned()));
    let told = two.mailbox("mail").await.unwrap().unwrap();
    assert_eq!(told.news, 1);
    assert!(told.due.is_some());
    // who has not heard of the news cannot say that there is nothing to do
    let mut settled = Mailbox {
        version: 2,
        ..mailbox.clone()
    };
    assert!(is_conflict(&two.put_mailbox(&settled).await));
    settled.news = 1;
    settled.posts[0].settled = 1;
    two.put_mailbox(&settled).await.unwrap();
    assert!(is_conflict(&one.put_mailbox(&settled).await));
    assert!(!one.mail(soon, 100).await.unwrap().contains(&"mail".to_owned()));
    let read = one.mailbox("mail").await.unwrap().unwrap();
    assert_eq!((read.posts[0].settled, read.due), (1, None));
    // who delivers is left alone
    let claimed = Mailbox {
        version: 3,
        due: Some(Timestamp::UNIX_EPOCH),
        claimed: soon + 60.seconds(),
        ..settled
    };
    one.put_mailbox(&claimed).await.unwrap();
    assert!(!two.mail(soon, 100).await.unwrap().contains(&"mail".to_owned()));
    // a change without an event is no news
    one.save(&next(&record), &[]).await.unwrap();
}
