//! What a turn may take: when something is used up, what was said so far stands, and the conversation goes on.

use std::time::Duration;

use skydock_agent::{
    Budget, Input, Outcome, Standing,
    message::{Block, Message},
    model::Failure,
};
use tokio::time::Instant;

use crate::{
    puppet::{Puppet, Say, agent, all, end, max, say, words},
    workshop::Workshop,
};

#[tokio::test]
async fn a_model_that_never_stops_calling_is_stopped() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new((0..10).map(|_| Say::Calls(vec![("look", "a")])));
    let budget = Budget {
        turns: 3,
        ..Budget::default()
    };
    let agent = agent(&model).with_servers(vec![upstream]).with_budget(budget);
    let events = say(&agent, &max(), "go").await;
    assert_eq!(end(&events).outcome, Outcome::Budget);
    assert_eq!(
        end(&events).detail.unwrap(),
        "the model was asked 3 times, and 3 is the bound"
    );
    assert_eq!(model.asked().len(), 3);
    // and the next turn has its own
    assert_eq!(end(&say(&agent, &max(), "go on").await).turns, 3);
}

#[tokio::test]
async fn tokens_are_counted() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new((0..10).map(|_| Say::Calls(vec![("look", "a")])));
    let budget = Budget {
        tokens: Some(30),
        ..Budget::default()
    };
    let agent = agent(&model).with_servers(vec![upstream]).with_budget(budget);
    assert_eq!(end(&say(&agent, &max(), "go").await).turns, 2);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_cut_and_what_was_said_stands() {
    let model = Puppet::new([Say::Hang("so far"), Say::Words("more")]);
    let agent = agent(&model);
    let deadline = Instant::now() + Duration::from_millis(200);
    let turn = agent
        .turn(&max(), Input::Say("hello".to_owned()), Some(deadline))
        .await
        .unwrap();
    let events = all(turn).await;
    assert_eq!(end(&events).outcome, Outcome::Budget);
    assert_eq!(words(&events), "so far");
    let view = agent.view(&max()).await.unwrap();
    assert_eq!(view.standing, Standing::Idle);
    assert_eq!(view.conversation.messages[1].text(), "so far");
    assert_eq!(words(&say(&agent, &max(), "go on").await), "more");
}

#[tokio::test]
async fn a_call_that_takes_too_long_for_the_turn_is_told_to_the_model_next_time() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([Say::Calls(vec![("wait", "a")]), Say::Words("I see")]);
    let agent = agent(&model).with_servers(vec![upstream]);
    let deadline = Instant::now() + Duration::from_millis(500);
    let turn = agent
        .turn(&max(), Input::Say("wait".to_owned()), Some(deadline))
        .await
        .unwrap();
    assert_eq!(end(&all(turn).await).outcome, Outcome::Budget);
    assert_eq!(words(&say(&agent, &max(), "and?").await), "I see");
}

#[tokio::test]
async fn the_user_can_stop_it() {
    let model = Puppet::new([Say::Hang("so far")]);
    let agent = agent(&model);
    let mut turn = agent
        .turn(&max(), Input::Say("hello".to_owned()), None)
        .await
        .unwrap();
    turn.next().await.unwrap();
    turn.next().await.unwrap();
    assert!(agent.stop(&max()).await);
    let events = all(turn).await;
    assert_eq!(end(&events).outcome, Outcome::Stopped);
    assert_eq!(
        agent.view(&max()).await.unwrap().conversation.messages[1].text(),
        "so far"
    );
    assert!(!agent.stop(&max()).await, "nothing is left to stop");
}

#[tokio::test]
async fn a_stop_reaches_the_servers_whose_tools_are_at_work() {
    let workshop = Workshop::new();
    let (_listening, upstream) = workshop.open().await;
    let model = Puppet::new([Say::Calls(vec![("wait", "a"), ("wait", "b")])]);
    let agent = agent(&model).with_servers(vec![upstream]);
    let turn = agent
        .turn(&max(), Input::Say("go".to_owned()), None)
        .await
        .unwrap();
    let within = |semaphore: &'static str, wait| {
        let waited = tokio::time::timeout(Duration::from_secs(20), wait);
        async move { waited.await.unwrap_or_else(|_late| panic!("{semaphore}")) }
    };
    let arrived = workshop.counts.arrived.acquire_many(2);
    within("both are at work", arrived).await.unwrap().forget();
    assert!(agent.stop(&max()).await);
    assert_eq!(end(&all(turn).await).outcome, Outcome::Stopped);
    let cancelled = workshop.counts.cancelled.acquire_many(2);
    within("both are told", cancelled).await.unwrap().forget();
}

#[tokio::test]
async fn what_does_not_fit_is_made_shorter() {
    let overflow = || Failure::Overflow("too long".to_owned());
    let model = Puppet::new([
        Say::Words("first"),
        Say::Words("second"),
        Say::Break("", overflow()),
        Say::Words("SUMMARY"),
        Say::Words("third"),
    ]);
    let agent = agent(&model);
    say(&agent, &max(), "one").await;
    say(&agent, &max(), "two").await;
    let events = say(&agent, &max(), "three").await;
    assert_eq!(words(&events), "third");
    let asked = model.asked();
    assert!(
        asked[3].messages[0]
            .text()
            .contains("User: one\nAssistant: first")
    );
    assert!(asked[3].tools.is_empty());
    let text = asked[4].messages[0].text();
    assert_eq!(asked[4].messages.len(), 1);
    let summary = |block: &Block| matches!(block, Block::Passage(passage) if passage.text == "SUMMARY");
    assert!(asked[4].messages[0].blocks.iter().any(summary), "{:?}", asked[4]);
    let view = agent.view(&max()).await.unwrap();
    assert_eq!(
        view.conversation.title(),
        "one",
        "what is left out does not change what it is about"
    );
    assert_eq!(text, "three");
}

#[tokio::test]
async fn what_cannot_be_made_shorter_fails() {
    let model = Puppet::new([Say::Break("", Failure::Overflow("too long".to_owned()))]);
    let events = say(&agent(&model), &max(), "a very long question").await;
    assert_eq!(end(&events).outcome, Outcome::Failed);
    assert!(
        end(&events)
            .detail
            .unwrap()
            .contains("too long for the model by itself")
    );
}

#[tokio::test]
async fn what_cannot_be_summarised_stays_as_it_was() {
    let overflow = || Failure::Overflow("too long".to_owned());
    let model = Puppet::new([
        Say::Words("first"),
        Say::Break("", overflow()),
        Say::Break("", Failure::Refused("no".to_owned())),
        Say::Words("second"),
    ]);
    let agent = agent(&model);
    say(&agent, &max(), "one").await;
    let events = say(&agent, &max(), "two").await;
    assert_eq!(end(&events).outcome, Outcome::Failed);
    assert!(end(&events).detail.unwrap().contains("could not be summarised"));
    let view = agent.view(&max()).await.unwrap();
    let texts: Vec<_> = view.conversation.messages.iter().map(Message::text).collect();
    assert_eq!(texts, ["one", "first", "two"]);
}
