//! The journal of changes: what is in it, who shares it, and what happens when it cannot be written.

use std::fs;

use lambda_ops::{embedded::Operation, upgrade::Journal};
use serde_json::{Value, json};

use crate::{
    bench::{Client, Folder, account, server},
    recovering::{EVENT, RECOVER, TOOL, entries, event, keeping, leave, lines_of},
    updating::{pair, shown, to},
};

#[tokio::test]
async fn a_journal_never_holds_an_event_or_what_a_function_answered() {
    let all = lines_of(&account(), to("orders-api", "nodejs24.x", Some(EVENT)))
        .await
        .concat();
    assert!(!all.contains("orderId"), "{all}");
    let events: Vec<String> = all.lines().map(event).collect();
    assert_eq!(
        events,
        [
            "begun",
            "publishing",
            "published",
            "updating",
            "updated",
            "settled",
            "publishing-new",
            "published-new",
            "testing",
            "tested",
            "closed"
        ]
    );
}

#[tokio::test]
async fn a_report_comes_back_to_its_client_after_a_restart() {
    let (account, folder) = (account(), Folder::new());
    let mut arguments = to("orders-api", "nodejs24.x", None);
    arguments["clientToken"] = json!("upgrade-1");
    let first = Client::of(keeping(&account, &folder))
        .await
        .ok(TOOL, arguments.clone())
        .await;
    let second = Client::of(keeping(&account, &folder))
        .await
        .ok(TOOL, arguments)
        .await;
    assert_eq!(first, second);
    let updates = account.calls();
    let updates = updates
        .iter()
        .filter(|call| **call == Operation::UpdateFunctionConfiguration);
    assert_eq!(updates.count(), 1);
}

#[tokio::test]
async fn servers_that_share_a_journal_keep_out_of_each_others_way() {
    let (account, folder) = (account(), Folder::new());
    account.faults().never_answer_after(Operation::Invoke, 2);
    let one = Client::of(keeping(&account, &folder)).await;
    let call = one.begin(TOOL, to("orders-api", "nodejs24.x", Some("{}"))).await;
    one.hear("AWS would run version").await;
    let other = Client::of(keeping(&account, &folder)).await;
    let text = other.refusal(TOOL, to("orders-api", "nodejs22.x", None)).await;
    assert!(text.contains("a change of \"orders-api\" is running"), "{text}");
    let nothing = other.ok(RECOVER, json!({})).await;
    assert_eq!(
        nothing["recovered"],
        json!([]),
        "what is running is not recovered"
    );
    let elsewhere = other.ok(TOOL, to("catalog-api", "nodejs24.x", None)).await;
    assert_eq!(elsewhere["outcome"], "updated", "other functions are free");
    call.cancel(None).await.expect("the cancellation is sent");
    one.hear("nodejs20.x is in force again").await;
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_changes() {
    let (account, folder) = (account(), Folder::new());
    let (one, other) = (keeping(&account, &folder), keeping(&account, &folder));
    let (one, other) = (Client::of(one).await, Client::of(other).await);
    let arguments = to("orders-api", "nodejs24.x", None);
    let (a, b) = tokio::join!(one.call(TOOL, arguments.clone()), other.call(TOOL, arguments));
    let outcomes = [&a, &b].map(|answer| answer.json["outcome"] == "updated");
    assert!(outcomes.contains(&true), "{} {}", a.text, b.text);
    assert!(
        outcomes.contains(&false) || a.json == b.json,
        "{} {}",
        a.text,
        b.text
    );
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs24.x", "Successful")
    );
}

#[tokio::test]
async fn a_journal_that_fills_up_at_any_line_leaves_nothing_half_done() {
    let full: usize = lines_of(&account(), to("orders-api", "nodejs24.x", Some("{}")))
        .await
        .concat()
        .len();
    let (mut refused, mut unchanged, mut rolled_back) = (0, 0, 0);
    for room in (0..full).step_by(40) {
        let account = account();
        let journal = Journal::in_memory_of(room);
        let client = Client::of(server(&account).with_journal(journal)).await;
        let answer = client
            .call(TOOL, to("orders-api", "nodejs24.x", Some("{}")))
            .await;
        let now = shown(&account, "orders-api").await;
        match answer.json["outcome"].as_str() {
            None => {
                assert!(
                    answer.text.contains("the journal of changes cannot be written"),
                    "{}",
                    answer.text
                );
                assert_eq!(now, pair("nodejs20.x", "Successful"));
                refused += 1;
            }
            Some("unchanged") => {
                assert!(!account.calls().contains(&Operation::UpdateFunctionConfiguration));
                unchanged += 1;
            }
            Some("rolled-back") => {
                assert_eq!(now, pair("nodejs20.x", "Successful"), "room for {room}");
                rolled_back += 1;
            }
            // only its end could not be written
            Some("updated") => assert_eq!(now, pair("nodejs24.x", "Successful")),
            other => panic!("{other:?} with room for {room}: {}", answer.text),
        }
    }
    assert!(
        refused > 0 && unchanged > 0 && rolled_back > 0,
        "{refused} {unchanged} {rolled_back}"
    );
}

#[tokio::test]
async fn a_journal_that_cannot_be_made_says_where_and_what_to_do() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("it is written");
    let fault = Journal::open(&file)
        .expect_err("a file is no directory")
        .to_string();
    assert!(
        fault.contains(&file.display().to_string()) && fault.contains("may write to"),
        "{fault}"
    );
}

#[tokio::test]
async fn a_journal_that_is_gone_means_that_nothing_is_changed() {
    let (account, folder) = (account(), Folder::new());
    let client = Client::of(keeping(&account, &folder)).await;
    fs::remove_dir_all(folder.path().join("journal")).expect("it is removed");
    let text = client.refusal(TOOL, to("orders-api", "nodejs24.x", None)).await;
    assert!(
        text.contains("the journal of changes cannot be written, so nothing was changed"),
        "{text}"
    );
    assert!(text.contains("the reference "), "{text}");
    assert!(
        !text.contains(&folder.path().display().to_string()),
        "the path is for the log: {text}"
    );
    assert!(!account.calls().contains(&Operation::PublishVersion));
}

#[tokio::test]
async fn entries_go_thirty_days_after_their_change_has_ended() {
    let (account, folder) = (account(), Folder::new());
    let all = lines_of(&account, to("orders-api", "nodejs24.x", None))
        .await
        .concat();
    let of = |days: i64| {
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        let lines = all.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            line["at"] = json!(then.to_string());
            format!("{line}\n")
        });
        lines.collect::<String>()
    };
    for (days, left) in [(29, 2), (31, 1)] {
        leave(&folder, &of(days));
        let client = Client::of(keeping(&crate::bench::account(), &folder)).await;
        client.ok(TOOL, to("catalog-api", "nodejs24.x", None)).await;
        assert_eq!(entries(&folder).len(), left, "{days} days old");
        for entry in entries(&folder) {
            fs::remove_file(entry).expect("it is removed");
        }
    }
}
