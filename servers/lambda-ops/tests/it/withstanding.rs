//! Faults at any place of a change: afterwards the function is as it was, or wholly changed, and the answer says which.

use std::{path::Path, time::Duration};

use lambda_ops::{
    audit::Audit,
    embedded::{Embedded, Operation},
    upgrade::Patience,
};

use crate::{
    bench::{Answered, Client, account, server},
    updating::{pair, shown, to, update},
};

#[tokio::test]
async fn credentials_that_expire_in_the_middle_leave_nothing_half_done() {
    for operation in [
        Operation::PublishVersion,
        Operation::UpdateFunctionConfiguration,
        Operation::GetFunctionConfiguration,
        Operation::Invoke,
    ] {
        for (before, times) in [(0, 1), (0, 4), (1, 1), (1, 4), (2, 2), (3, 5), (4, 9)] {
            let account = account();
            account.faults().let_pass(operation, before);
            account.faults().expire_credentials(operation, times);
            let place = format!("{operation:?} expired {times} times after {before}");
            let answer = update(&account, to("orders-api", "nodejs24.x", Some("{}"))).await;
            whole(&account, &answer, &place).await;
        }
    }
    for times in [1, 3, 8] {
        let account = account();
        account
            .faults()
            .expire_credentials_from(Operation::UpdateFunctionConfiguration, times);
        let answer = update(&account, to("invoice-pdf", "nodejs22.x", Some("{}"))).await;
        whole_of(
            &account,
            &answer,
            "invoice-pdf",
            ["nodejs16.x", "nodejs22.x"],
            "from the update on",
        )
        .await;
    }
}

#[tokio::test]
async fn throttling_of_any_call_at_any_place_leaves_nothing_half_done() {
    for operation in [
        Operation::GetCallerIdentity,
        Operation::ListTags,
        Operation::ListAliases,
        Operation::PublishVersion,
        Operation::UpdateFunctionConfiguration,
        Operation::GetFunctionConfiguration,
        Operation::Invoke,
    ] {
        for before in 0..5 {
            // what the SDK repeats by itself, and more than that
            for times in [2, 4, 9] {
                let account = account();
                account.faults().let_pass(operation, before);
                account.faults().throttle(operation, times);
                let place = format!("{operation:?} throttled {times} times after {before}");
                let answer = update(&account, to("orders-api", "nodejs24.x", Some("{}"))).await;
                whole(&account, &answer, &place).await;
                if times == 2 {
                    assert_eq!(answer.json["outcome"], "updated", "{place}: {}", answer.text);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_conflict_at_any_place_leaves_nothing_half_done() {
    for operation in [
        Operation::PublishVersion,
        Operation::UpdateFunctionConfiguration,
        Operation::Invoke,
    ] {
        for before in 0..3 {
            for times in [1, 3, 40] {
                let account = account();
                account.faults().let_pass(operation, before);
                account.faults().conflict(operation, times);
                let place = format!("{operation:?} in conflict {times} times after {before}");
                let mut patience = Patience::every(Duration::from_millis(1), Duration::from_secs(10));
                patience.lost.limit = Duration::from_millis(200);
                let client = Client::of(server(&account).with_patience(patience)).await;
                let arguments = to("orders-api", "nodejs24.x", Some("{}"));
                let answer = client.call("update-function-runtime", arguments).await;
                whole(&account, &answer, &place).await;
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_at_any_place_leaves_nothing_half_done() {
    for operation in [
        Operation::PublishVersion,
        Operation::UpdateFunctionConfiguration,
        Operation::GetFunctionConfiguration,
        Operation::Invoke,
    ] {
        for before in 0..5 {
            let account = account();
            account.faults().let_pass(operation, before);
            account.faults().break_down(operation, 1);
            let place = format!("{operation:?} broken after {before}");
            let mut patience = Patience::every(Duration::from_millis(1), Duration::from_secs(10));
            patience.lost.limit = Duration::from_millis(50);
            let client = Client::of(server(&account).with_patience(patience)).await;
            let answer = client
                .call(
                    "update-function-runtime",
                    to("orders-api", "nodejs24.x", Some("{}")),
                )
                .await;
            whole(&account, &answer, &place).await;
        }
    }
}

/// The function is as it was, or wholly changed, and the answer says which.
async fn whole(account: &Embedded, answer: &Answered, place: &str) {
    whole_of(account, answer, "orders-api", ["nodejs20.x", "nodejs24.x"], place).await;
}

async fn whole_of(account: &Embedded, answer: &Answered, function: &str, runtimes: [&str; 2], place: &str) {
    let [from, to] = runtimes;
    let end = match answer.json["outcome"].as_str() {
        Some("updated") => to,
        Some("rolled-back" | "unchanged") => from,
        None => {
            assert!(answer.is_error, "{place}");
            from
        }
        other => panic!("{other:?}: {place}: {}", answer.text),
    };
    // what is left of the faults
    let look = account.client();
    while look
        .get_function_configuration()
        .function_name(function)
        .send()
        .await
        .is_err()
    {}
    assert_eq!(
        shown(account, function).await,
        pair(end, "Successful"),
        "{place}: {}",
        answer.text
    );
}

#[tokio::test]
async fn a_change_that_the_audit_cannot_hold_is_not_made() {
    let account = account();
    let full = Audit::file(Path::new("/dev/full")).expect("it opens");
    let client = Client::of(server(&account).with_audit(full)).await;
    let answer = client
        .call("update-function-runtime", to("orders-api", "nodejs24.x", None))
        .await;
    assert!(answer.is_error);
    assert_eq!(answer.json["outcome"], "unchanged", "{}", answer.text);
    assert!(
        answer.text.contains("the audit cannot be written"),
        "{}",
        answer.text
    );
    assert!(!account.calls().contains(&Operation::PublishVersion));
}
