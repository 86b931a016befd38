//! Many conversations at once: none is lost, none sees another.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use skydock_agent::{
    Agent, Outcome,
    model::Scripted,
    store::{Key, Sqlite},
};

use crate::{
    puppet::{end, results, say, words},
    workshop::Workshop,
};

const SCRIPT: &str = r#"
    name = "crowd"
    [[scenes]]
    steps = [
        { call = [{ tool = "look", input = { what = "{{ user }} says {{ message }}" } }, { tool = "set", input = { what = "{{ user }}" } }] },
        { say = "{{ user }}: {{ results.look.data.what }}" },
    ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_conversations_at_once() {
    const CROWD: usize = 200;
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("agent.sqlite")).unwrap();
    let model = Scripted::parse("the crowd", SCRIPT).unwrap();
    let agent = Agent::new(Arc::new(model), Arc::new(store)).with_servers(vec![upstream]);
    let talk = |index: usize| {
        let agent = agent.clone();
        tokio::spawn(async move {
            // two conversations to each user
            let key = Key::new(format!("user{}", index / 2), format!("talk{}", index % 2));
            for turn in 0..2 {
                let said = format!("{index}/{turn}");
                let events = say(&agent, &key, &said).await;
                assert_eq!(end(&events).outcome, Outcome::Answered, "{events:?}");
                assert_eq!(results(&events).len(), 2);
                let (user, ..) = (&key.user,);
                assert_eq!(words(&events), format!("{user}: {user} says {said}"));
            }
            let view = agent.view(&key).await.unwrap();
            assert_eq!(view.conversation.messages.len(), 8);
        })
    };
    let talks: Vec<_> = (0..CROWD).map(talk).collect();
    for talk in talks {
        talk.await.unwrap();
    }
    assert_eq!(workshop.counts.looked.load(Ordering::SeqCst), 2 * CROWD);
    assert_eq!(workshop.counts.set.load(Ordering::SeqCst), 2 * CROWD);
    let listed = agent.list("user7").await.unwrap();
    let names: HashSet<_> = listed.iter().map(|listed| listed.session.as_str()).collect();
    assert_eq!(names, HashSet::from(["talk0", "talk1"]));
    assert!(
        listed
            .iter()
            .all(|listed| listed.title.starts_with("14/") || listed.title.starts_with("15/"))
    );
}
