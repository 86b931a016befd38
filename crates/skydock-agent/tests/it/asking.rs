//! A turn: the model is asked, calls tools, and is asked again.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use skydock_agent::{
    Budget, Event, Input, Outcome, Reply, Sampling,
    message::Block,
    model::{Failure, Stop},
};

use crate::{
    puppet::{Puppet, Say, agent, all, end, max, results, say, words},
    workshop::Workshop,
};

#[tokio::test]
async fn a_model_is_asked_again_with_what_its_calls_came_to() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([Say::Calls(vec![("look", "a"), ("look", "b")]), Say::Words("done")]);
    let agent = agent(&model).with_servers(vec![upstream]);
    let events = say(&agent, &max(), "look twice").await;
    assert_eq!(words(&events), "done");
    assert_eq!(end(&events).outcome, Outcome::Answered);
    assert_eq!(end(&events).turns, 2);
    assert_eq!(end(&events).usage.input_tokens, 20);
    let asked = model.asked();
    let Block::Result(first) = &asked[1].messages[2].blocks[0] else {
        panic!()
    };
    assert_eq!(first.structured, Some(json!({"what": "a"})));
    assert!(asked[0].system.contains("Knock before you enter."));
    let names: Vec<_> = asked[0].tools.iter().map(|tool| tool.name.as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    // the next turn goes on with all of it
    say(&agent, &max(), "and now?").await;
    assert_eq!(model.asked()[2].messages.len(), 5);
}

#[tokio::test]
async fn calls_are_made_at_once_within_bounds_and_answered_in_order() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let calls = ["a", "b", "c", "d", "e"].map(|what| ("wait", what));
    let model = Puppet::new([Say::Calls(calls.to_vec()), Say::Words("done")]);
    let budget = Budget {
        parallel: 3,
        ..Budget::default()
    };
    let agent = agent(&model).with_servers(vec![upstream]).with_budget(budget);
    let turn = agent
        .turn(&max(), Input::Say("wait".to_owned()), None)
        .await
        .unwrap();
    let counts = std::sync::Arc::clone(&workshop.counts);
    let open = async {
        counts.arrived.acquire_many(3).await.unwrap().forget();
        counts.gate.add_permits(5);
    };
    let (events, ()) = tokio::join!(all(turn), open);
    assert_eq!(counts.most.load(Ordering::SeqCst), 3);
    assert_eq!(results(&events).len(), 5);
    let last = &model.asked()[1].messages[2];
    let order: Vec<_> = last
        .blocks
        .iter()
        .map(|block| match block {
            Block::Result(result) => result.structured.clone().unwrap()["what"].clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn what_goes_wrong_with_a_call_is_its_answer() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([
        Say::Calls(vec![
            ("explode", ""),
            ("nothing", ""),
            ("take", "60000"),
            ("look", "x"),
        ]),
        Say::Raw("look", "{\"what\":"),
        Say::Words("well"),
    ]);
    let budget = Budget {
        call: Duration::from_millis(300),
        ..Budget::default()
    };
    let agent = agent(&model).with_servers(vec![upstream]).with_budget(budget);
    let events = say(&agent, &max(), "go").await;
    assert_eq!(end(&events).outcome, Outcome::Answered);
    let asked = model.asked();
    let answer = |turn: usize, index: usize| {
        let message = asked[turn].messages.last().unwrap();
        match &message.blocks[index] {
            Block::Result(result) => (result.text.clone(), result.is_error),
            other => panic!("{other:?}"),
        }
    };
    assert!(answer(1, 0).1);
    assert!(
        answer(1, 1)
            .0
            .contains("There is no tool \"nothing\"; there are change, explode")
    );
    assert!(answer(1, 2).0.contains("longer than 0 s") && answer(1, 2).1);
    assert!(!answer(1, 3).1);
    assert!(answer(2, 0).0.contains("not JSON"), "{:?}", answer(2, 0));
}

#[tokio::test]
async fn a_model_that_could_not_answer_is_asked_again_and_what_it_said_counts_for_nothing() {
    let throttled = || Failure::Throttled {
        reason: "slow down".to_owned(),
        after: None,
    };
    let model = Puppet::new([
        Say::Break("half a", Failure::Unavailable("gone".to_owned())),
        Say::Break("", throttled()),
        Say::Words("all of it"),
    ]);
    let agent = agent(&model);
    let events = say(&agent, &max(), "hello").await;
    let again = events
        .iter()
        .filter(|event| matches!(event, Event::Again { .. }))
        .count();
    assert_eq!(again, 2);
    assert_eq!(end(&events).outcome, Outcome::Answered);
    let view = agent.view(&max()).await.unwrap();
    assert_eq!(view.conversation.messages[1].text(), "all of it");
}

#[tokio::test]
async fn a_model_that_refuses_ends_the_turn_and_the_words_are_kept() {
    let model = Puppet::new([Say::Break(
        "",
        Failure::Refused("no access to this model".to_owned()),
    )]);
    let agent = agent(&model);
    let events = say(&agent, &max(), "hello").await;
    assert_eq!(end(&events).outcome, Outcome::Failed);
    assert!(end(&events).detail.unwrap().contains("no access"));
    // the user's next words follow the first ones
    say(&agent, &max(), "again").await;
    assert_eq!(model.asked()[1].messages[0].text(), "hello\nagain");
}

#[tokio::test]
async fn every_end_of_an_answer_has_its_name() {
    for (stop, outcome) in [
        (Stop::MaxTokens, Outcome::Cut),
        (Stop::Filtered, Outcome::Filtered),
    ] {
        let model = Puppet::new([Say::Stop("so far", stop)]);
        let agent = agent(&model);
        let events = say(&agent, &max(), "hello").await;
        assert_eq!(end(&events).outcome, outcome);
        assert_eq!(words(&events), "so far");
    }
    let model = Puppet::new([Say::Stop("…", Stop::Malformed), Say::Words("better")]);
    assert_eq!(words(&say(&agent(&model), &max(), "hello").await), "…better");
}

#[tokio::test]
async fn a_server_asks_the_user_in_the_middle_of_a_call() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([Say::Calls(vec![("paint", "")]), Say::Words("done")]);
    let agent = agent(&model).with_servers(vec![upstream]);
    let mut turn = agent
        .turn(&max(), Input::Say("paint".to_owned()), None)
        .await
        .unwrap();
    let question = loop {
        match turn.next().await.unwrap() {
            Event::Question(question) => break question,
            _ => continue,
        }
    };
    assert_eq!(question.message, "Which colour?");
    let content = Some(json!({"colour": "green"}));
    assert!(agent.reply(&max(), &question.id, Reply::Accept { content }).await);
    assert!(
        !agent.reply(&max(), &question.id, Reply::Decline).await,
        "it is asked once"
    );
    let events = all(turn).await;
    assert_eq!(results(&events)[0].1, "{\"what\":\"green\"}");
}

/// A turn in which a server asks for an answer of the model.
async fn muse(sampling: Sampling, reply: Reply) -> (Vec<Event>, std::sync::Arc<Puppet>, Vec<String>) {
    let workshop = Workshop::new();
    let (_server, mut upstream) = workshop.open().await;
    upstream.setup.era = "2025-06-18".parse().unwrap();
    let says = [
        Say::Calls(vec![("muse", "")]),
        Say::Words("42"),
        Say::Words("done"),
    ];
    let model = Puppet::new(says);
    let agent = agent(&model).with_servers(vec![upstream]).with_sampling(sampling);
    let mut turn = agent
        .turn(&max(), Input::Say("muse".to_owned()), None)
        .await
        .unwrap();
    let (mut events, mut asked) = (Vec::new(), Vec::new());
    while let Some(event) = turn.next().await {
        if let Event::Question(question) = &event {
            asked.push(question.message.clone());
            assert!(agent.reply(&max(), &question.id, reply.clone()).await);
        }
        events.push(event);
    }
    (events, model, asked)
}

#[tokio::test]
async fn a_server_has_the_model_answer_when_the_user_agrees() {
    let (events, model, asked) = muse(Sampling::Ask, Reply::Accept { content: None }).await;
    assert!(asked[0].contains("What is the answer?"), "{asked:?}");
    assert!(
        results(&events)[0].1.contains("puppet says") && results(&events)[0].1.contains("42"),
        "{events:?}"
    );
    assert_eq!(model.asked()[1].system, "You are deep.");
    assert_eq!(end(&events).usage.input_tokens, 30, "what it cost is counted");
    let (events, model, _) = muse(Sampling::Ask, Reply::Decline).await;
    assert!(results(&events)[0].1.contains("does not want"), "{events:?}");
    assert_eq!(model.asked().len(), 2);
    let (events, _, asked) = muse(Sampling::Allow, Reply::Decline).await;
    assert!(
        asked.is_empty() && results(&events)[0].1.contains("42"),
        "{events:?}"
    );
    let (events, ..) = muse(Sampling::Never, Reply::Decline).await;
    assert!(
        results(&events)[0].2 || results(&events)[0].1.contains("sampling"),
        "{events:?}"
    );
}

#[tokio::test]
async fn calls_of_an_answer_that_was_cut_are_not_made() {
    for stop in [Stop::MaxTokens, Stop::Filtered] {
        let workshop = Workshop::new();
        let (_server, upstream) = workshop.open().await;
        let model = Puppet::new([Say::Cut("look", stop), Say::Words("again")]);
        let agent = agent(&model).with_servers(vec![upstream]);
        say(&agent, &max(), "look").await;
        assert_eq!(workshop.counts.looked.load(Ordering::SeqCst), 0, "{stop:?}");
        assert_eq!(words(&say(&agent, &max(), "well?").await), "again");
    }
}

#[tokio::test]
async fn a_model_that_breaks_ends_its_turn_and_no_other() {
    let model = Puppet::new([Say::Panic, Say::Words("here")]);
    let agent = agent(&model);
    let events = say(&agent, &max(), "hello").await;
    assert_eq!(end(&events).outcome, Outcome::Failed);
    assert!(end(&events).detail.unwrap().contains("reference"));
    let other = skydock_agent::store::Key::new("max", "another");
    assert_eq!(words(&say(&agent, &other, "hello").await), "here");
}

#[tokio::test]
async fn whoever_hears_the_end_can_begin_the_next_turn_at_once() {
    let model = Puppet::new((0..50).map(|_| Say::Words("done")));
    let agent = agent(&model);
    for _ in 0..50 {
        assert_eq!(end(&say(&agent, &max(), "next").await).outcome, Outcome::Answered);
    }
}

#[tokio::test]
async fn a_turn_goes_on_when_nobody_reads_and_waits_for_no_reader_twice() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    // more events than wait for anybody
    let calls: Vec<_> = (0..200).map(|_| ("look", "a")).collect();
    let model = Puppet::new([Say::Calls(calls), Say::Words("done")]);
    let agent = agent(&model).with_servers(vec![upstream]);
    let turn = agent
        .turn(&max(), Input::Say("look".to_owned()), None)
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(25), ended(&agent))
        .await
        .unwrap();
    let view = agent.view(&max()).await.unwrap();
    assert_eq!(view.conversation.messages.last().unwrap().text(), "done");
    drop(turn);
}

async fn ended(agent: &skydock_agent::Agent) {
    let turns = agent.turns();
    turns.close();
    turns.wait().await;
}
