//! What changes something waits for the user's decision, which another process may take.

use std::sync::{Arc, atomic::Ordering};

use skydock_agent::{Approvals, Decision, Error, Input, Outcome, Standing, message::Block, store::Sqlite};

use crate::{
    puppet::{Puppet, Say, agent, all, decide, end, max, on, results, say, waiting, words},
    workshop::Workshop,
};

#[tokio::test]
async fn a_call_that_changes_something_is_made_when_another_process_allows_it() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.sqlite");
    let model = Puppet::new([
        Say::Calls(vec![("look", "a"), ("change", "b")]),
        Say::Words("done"),
    ]);
    let first = on(&model, Arc::new(Sqlite::open(&file).unwrap())).with_servers(vec![upstream.clone()]);
    let events = say(&first, &max(), "change it").await;
    assert_eq!(end(&events).outcome, Outcome::Waiting);
    assert_eq!(waiting(&events).len(), 1);
    // what changes nothing was done meanwhile
    assert_eq!(workshop.counts.looked.load(Ordering::SeqCst), 1);
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 0);
    drop(first);
    let second = on(&model, Arc::new(Sqlite::open(&file).unwrap())).with_servers(vec![upstream]);
    assert_eq!(second.view(&max()).await.unwrap().standing, Standing::Waiting);
    let events = decide(&second, &max(), &[("c1-1", true)]).await;
    assert_eq!(words(&events), "done");
    assert_eq!(
        workshop.counts.looked.load(Ordering::SeqCst),
        1,
        "it is not looked twice"
    );
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 1);
    let again = Input::Decide(vec![Decision {
        id: "c1-1".to_owned(),
        approve: true,
        note: None,
    }]);
    assert!(matches!(
        second.turn(&max(), again, None).await,
        Err(Error::NotAsked(_))
    ));
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_turn_goes_on_when_all_are_decided() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([
        Say::Calls(vec![("change", "a"), ("change", "b")]),
        Say::Words("done"),
    ]);
    let agent = agent(&model).with_servers(vec![upstream]);
    say(&agent, &max(), "both").await;
    let events = decide(&agent, &max(), &[("c1-1", false)]).await;
    assert_eq!(end(&events).outcome, Outcome::Waiting);
    assert_eq!(waiting(&events).len(), 1);
    let events = decide(&agent, &max(), &[("c1-0", true)]).await;
    assert_eq!(words(&events), "done");
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn whoever_says_something_else_has_not_allowed_it() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([Say::Calls(vec![("change", "a")]), Say::Words("as you wish")]);
    let agent = agent(&model).with_servers(vec![upstream]);
    say(&agent, &max(), "change it").await;
    let events = say(&agent, &max(), "no, wait").await;
    assert_eq!(words(&events), "as you wish");
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 0);
    let last = model.asked()[1].messages.last().unwrap().clone();
    let Block::Result(result) = &last.blocks[0] else {
        panic!()
    };
    assert!(result.is_error && result.text.contains("something else"));
    assert_eq!(last.text(), "no, wait");
}

#[tokio::test]
async fn a_stranger_in_a_result_changes_nothing_without_the_user() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    // a model that does what strangers tell it
    let model = Puppet::new([
        Say::Calls(vec![("read_mail", "")]),
        Say::Calls(vec![("change", "everything")]),
        Say::Words("sorry"),
    ]);
    let agent = agent(&model).with_servers(vec![upstream]);
    let events = say(&agent, &max(), "read my mail").await;
    assert!(results(&events)[0].1.contains("The user has agreed"));
    assert_eq!(end(&events).outcome, Outcome::Waiting);
    let events = decide(&agent, &max(), &[("c2-0", false)]).await;
    assert_eq!(words(&events), "sorry");
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_owner_says_what_is_asked_and_what_is_never_done() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let words_of = |text: &str| vec![text.to_owned()];
    let rules = Approvals::new(&words_of("chan*"), &words_of("look"), &words_of("set")).unwrap();
    let calls = vec![("change", "a"), ("look", "b"), ("set", "c")];
    let model = Puppet::new([Say::Calls(calls), Say::Words("done")]);
    let agent = agent(&model).with_servers(vec![upstream]).with_approvals(rules);
    let events = say(&agent, &max(), "go").await;
    assert_eq!(waiting(&events)[0].0, "c1-1");
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 1);
    decide(&agent, &max(), &[("c1-1", true)]).await;
    assert_eq!(workshop.counts.set.load(Ordering::SeqCst), 0);
    let (tools, _) = agent.tools(&max()).await.unwrap();
    let approval = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap().approval;
    assert_eq!(
        [approval("change"), approval("look"), approval("set")],
        ["allow", "ask", "deny"]
    );
}

#[tokio::test]
async fn two_decisions_on_one_call_make_it_once() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let store = Arc::new(Sqlite::in_memory().unwrap());
    let model = Puppet::new([Say::Calls(vec![("change", "a")]), Say::Words("done")]);
    let agents: Vec<_> = (0..8)
        .map(|_| on(&model, Arc::<Sqlite>::clone(&store)).with_servers(vec![upstream.clone()]))
        .collect();
    say(&agents[0], &max(), "change it").await;
    let decide = |agent: skydock_agent::Agent| async move {
        let yes = Decision {
            id: "c1-0".to_owned(),
            approve: true,
            note: None,
        };
        match agent.turn(&max(), Input::Decide(vec![yes]), None).await {
            Ok(turn) => usize::from(end(&all(turn).await).outcome == Outcome::Answered),
            Err(_) => 0,
        }
    };
    let done = futures::future::join_all(agents.into_iter().map(decide)).await;
    assert_eq!(done.iter().sum::<usize>(), 1);
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_was_allowed_is_not_made_when_the_owner_forbids_it_meanwhile() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let store = Arc::new(Sqlite::in_memory().unwrap());
    let model = Puppet::new([Say::Calls(vec![("change", "a")]), Say::Words("I see")]);
    let before = on(&model, Arc::<Sqlite>::clone(&store)).with_servers(vec![upstream.clone()]);
    say(&before, &max(), "change it").await;
    let rules = Approvals::new(&[], &[], &["change".to_owned()]).unwrap();
    let after = on(&model, store)
        .with_servers(vec![upstream])
        .with_approvals(rules);
    let events = decide(&after, &max(), &[("c1-0", true)]).await;
    assert_eq!(words(&events), "I see");
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_decision_is_on_one_call_though_the_model_counts_from_the_beginning_again() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([
        Say::Named("call_0", "change"),
        Say::Words("as you wish"),
        Say::Named("call_0", "change"),
        Say::Words("done"),
    ]);
    let agent = agent(&model).with_servers(vec![upstream]);
    say(&agent, &max(), "change it").await;
    say(&agent, &max(), "no").await;
    let events = say(&agent, &max(), "change it after all").await;
    let id = waiting(&events)[0].0.clone();
    assert_ne!(id, "call_0");
    let stale = Input::Decide(vec![Decision {
        id: "call_0".to_owned(),
        approve: true,
        note: None,
    }]);
    assert!(matches!(
        agent.turn(&max(), stale, None).await,
        Err(Error::NotAsked(_))
    ));
    decide(&agent, &max(), &[(&id, true)]).await;
    assert_eq!(workshop.counts.changed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_decides_where_nothing_is_asked() {
    let agent = agent(&Puppet::new([]));
    let nothing = Input::Decide(Vec::new());
    assert!(matches!(
        agent.turn(&max(), nothing, None).await,
        Err(Error::NotAsked(_))
    ));
}
