//! A process that is gone in the middle of a turn, and another that goes on.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use skydock_agent::{
    Error, Input, Outcome, Standing,
    message::Block,
    store::{Draft, Failure, Key, Listed, Sqlite, Store, Stored},
};

use crate::{
    puppet::{Puppet, Say, all, end, max, on, say, words},
    workshop::Workshop,
};

/// A store that takes so many writes, and then none: as if the process were gone. What it has is seen by others with
/// the lease of the dead one run out.
#[derive(Debug)]
struct Mortal {
    store: Sqlite,
    writes: std::sync::atomic::AtomicUsize,
}

impl Mortal {
    fn new(store: Sqlite, writes: usize) -> Arc<Self> {
        Arc::new(Self {
            store,
            writes: writes.into(),
        })
    }
}

#[async_trait]
impl Store for Mortal {
    async fn load(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.store.load(key).await
    }

    async fn save(&self, key: &Key, draft: Draft<'_>) -> Result<String, Failure> {
        if self.writes.load(Ordering::SeqCst) == 0 {
            return Err(Failure::Broken("dead".into()));
        }
        self.writes.fetch_sub(1, Ordering::SeqCst);
        // the lease is as old as the process is dead
        let body = String::from_utf8(draft.body.to_vec()).unwrap();
        let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
        if let Some(lease) = body.get_mut("lease") {
            lease["until"] = "2020-01-01T00:00:00Z".into();
        }
        let body = serde_json::to_vec(&body).unwrap();
        self.store.save(key, Draft { body: &body, ..draft }).await
    }

    async fn list(&self, user: &str, most: usize) -> Result<Vec<Listed>, Failure> {
        self.store.list(user, most).await
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        self.store.remove(key).await
    }
}

#[tokio::test]
async fn a_turn_goes_on_where_its_process_died_before_the_answer() {
    let store = Sqlite::in_memory().unwrap();
    let model = Puppet::new([Say::Words("lost"), Say::Words("found")]);
    let dying = on(&model, Mortal::new(store.clone(), 1));
    assert_eq!(end(&say(&dying, &max(), "hello").await).outcome, Outcome::Failed);
    let agent = on(&model, Arc::new(store));
    assert_eq!(agent.view(&max()).await.unwrap().standing, Standing::Interrupted);
    let events = all(agent.turn(&max(), Input::Resume, None).await.unwrap()).await;
    assert_eq!(words(&events), "found");
    assert!(matches!(
        agent.turn(&max(), Input::Resume, None).await,
        Err(Error::NothingToResume)
    ));
}

#[tokio::test]
async fn a_change_that_may_have_been_made_is_not_made_again_and_what_is_harmless_is() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let rules = skydock_agent::Approvals::new(&["*".to_owned()], &[], &[]).unwrap();
    let store = Sqlite::in_memory().unwrap();
    let model = Puppet::new([
        Say::Calls(vec![("change", "a"), ("set", "b")]),
        Say::Words("lost"),
        Say::Words("found"),
    ]);
    // the user's words, and that the calls begin
    let dying = on(&model, Mortal::new(store.clone(), 2))
        .with_servers(vec![upstream.clone()])
        .with_approvals(rules.clone());
    say(&dying, &max(), "go").await;
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 1);
    let agent = on(&model, Arc::new(store))
        .with_servers(vec![upstream])
        .with_approvals(rules);
    let events = all(agent.turn(&max(), Input::Resume, None).await.unwrap()).await;
    assert_eq!(words(&events), "found");
    assert_eq!(
        workshop.counts.changed.load(Ordering::SeqCst),
        1,
        "not a second time"
    );
    assert_eq!(
        workshop.counts.set.load(Ordering::SeqCst),
        2,
        "again does the same"
    );
    let last = model.asked().last().unwrap().messages.last().unwrap().clone();
    let Block::Result(change) = &last.blocks[0] else {
        panic!()
    };
    assert!(
        change.is_error && change.text.contains("not known whether"),
        "{}",
        change.text
    );
}

#[tokio::test]
async fn whoever_speaks_after_a_crash_is_heard() {
    let store = Sqlite::in_memory().unwrap();
    let model = Puppet::new([Say::Words("lost"), Say::Words("found")]);
    say(&on(&model, Mortal::new(store.clone(), 1)), &max(), "hello").await;
    let events = say(&on(&model, Arc::new(store)), &max(), "are you there?").await;
    assert_eq!(words(&events), "found");
    assert_eq!(model.asked()[1].messages[0].text(), "hello\nare you there?");
}

#[tokio::test]
async fn one_turn_at_a_time_whatever_the_process() {
    let store = Arc::new(Sqlite::in_memory().unwrap());
    let model = Puppet::new([Say::Hang("so far")]);
    let first = on(&model, Arc::<Sqlite>::clone(&store));
    let second = on(&model, store);
    let mut turn = first
        .turn(&max(), Input::Say("hello".to_owned()), None)
        .await
        .unwrap();
    turn.next().await.unwrap();
    let again = || Input::Say("hello?".to_owned());
    assert!(matches!(
        first.turn(&max(), again(), None).await,
        Err(Error::Busy)
    ));
    assert!(matches!(
        second.turn(&max(), again(), None).await,
        Err(Error::Busy)
    ));
    assert!(matches!(second.remove(&max()).await, Err(Error::Busy)));
    turn.stop();
    all(turn).await;
    assert_eq!(second.view(&max()).await.unwrap().standing, Standing::Idle);
}

/// A store that fails so many writes, and then takes them again.
#[derive(Debug)]
struct Shaky {
    store: Sqlite,
    writes: std::sync::atomic::AtomicUsize,
    failing: std::ops::Range<usize>,
}

#[async_trait]
impl Store for Shaky {
    async fn load(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.store.load(key).await
    }

    async fn save(&self, key: &Key, draft: Draft<'_>) -> Result<String, Failure> {
        let write = self.writes.fetch_add(1, Ordering::SeqCst);
        if self.failing.contains(&write) {
            return Err(Failure::Broken("busy".into()));
        }
        self.store.save(key, draft).await
    }

    async fn list(&self, user: &str, most: usize) -> Result<Vec<Listed>, Failure> {
        self.store.list(user, most).await
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        self.store.remove(key).await
    }
}

#[tokio::test]
async fn an_answer_is_not_lost_because_the_store_was_busy_for_a_moment() {
    let store = Shaky {
        store: Sqlite::in_memory().unwrap(),
        writes: 0.into(),
        failing: 1..3,
    };
    let model = Puppet::new([Say::Words("here")]);
    let agent = on(&model, Arc::new(store));
    assert_eq!(
        end(&say(&agent, &max(), "hello").await).outcome,
        Outcome::Answered
    );
    let view = agent.view(&max()).await.unwrap();
    assert_eq!(view.conversation.messages[1].text(), "here");
}
