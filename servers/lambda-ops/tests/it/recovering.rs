//! What becomes of a change that its server left in the middle.

use std::{fs, path::PathBuf, time::Duration};

use aws_sdk_lambda::types::InvocationType;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use lambda_ops::{
    LambdaOps,
    allow::Allow,
    embedded::{Embedded, Operation},
    upgrade::{Journal, Outcome, Patience},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    bench::{BRISK, Client, Folder, account, server},
    updating::{pair, shown, steps, to},
};

pub(crate) const TOOL: &str = "update-function-runtime";
pub(crate) const RECOVER: &str = "recover-updates";

/// A server with a journal in a folder, which does not look long for what is lost.
pub(crate) fn keeping(account: &Embedded, folder: &Folder) -> LambdaOps {
    let mut patience = Patience::every(Duration::from_millis(1), Duration::from_secs(10));
    patience.lost.limit = Duration::from_millis(20);
    let journal = Journal::open(folder.path().join("journal")).expect("it can be written");
    server(account).with_patience(patience).with_journal(journal)
}

pub(crate) fn entries(folder: &Folder) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.path().join("journal")).expect("the journal is there");
    let paths = files.map(|file| file.expect("a file").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect()
}

/// Puts lines into a folder, as a killed server would have left them.
pub(crate) fn leave(folder: &Folder, text: &str) {
    leave_as(folder, "20261122T130000Z-0000000000000001.jsonl", text);
}

pub(crate) fn leave_as(folder: &Folder, name: &str, text: &str) -> PathBuf {
    let journal = folder.path().join("journal");
    fs::create_dir_all(&journal).expect("a folder");
    let path = journal.join(name);
    fs::write(&path, text).expect("it is written");
    path
}

pub(crate) async fn recovered(server: LambdaOps) -> Vec<Value> {
    let answer = Client::of(server).await.ok(RECOVER, json!({})).await;
    assert_eq!(answer["identity"]["account"], "123456789012");
    answer["recovered"].as_array().expect("a list").clone()
}

/// What a whole change writes, line by line.
pub(crate) async fn lines_of(account: &Embedded, arguments: Value) -> Vec<String> {
    let folder = Folder::new();
    Client::of(keeping(account, &folder))
        .await
        .call(TOOL, arguments)
        .await;
    let text = fs::read_to_string(&entries(&folder)[0]).expect("an entry");
    text.lines().map(|line| format!("{line}\n")).collect()
}

pub(crate) fn event(line: &str) -> String {
    let line: Value = serde_json::from_str(line).expect("JSON");
    line["event"].as_str().expect("an event").to_owned()
}

/// Publishes $LATEST, as a change does before its update, so that times and revisions are those of its lines.
async fn publish(account: &Embedded, function: &str) {
    let version = account.client().publish_version().function_name(function);
    version.send().await.expect("it is published");
}

/// What a change does before its update.
async fn save(account: &Embedded, function: &str) {
    let dry_run = account.client().invoke().function_name(function);
    let dry_run = dry_run.invocation_type(InvocationType::DryRun);
    dry_run.send().await.expect("it could be run");
    publish(account, function).await;
}

pub(crate) async fn set(account: &Embedded, function: &str, runtime: &str) {
    let update = account
        .client()
        .update_function_configuration()
        .function_name(function);
    update.runtime(runtime.into()).send().await.expect("it is taken");
    while shown(account, function).await.1 != "Successful" {}
}

pub(crate) const EVENT: &str = r#"{"orderId":7}"#;

/// An account whose function may have its test event in a tag.
async fn prepared(function: &str, tagged: bool) -> Embedded {
    let account = account();
    if tagged {
        let arn = format!("arn:aws:lambda:eu-central-1:123456789012:function:{function}");
        let event = URL_SAFE_NO_PAD.encode(EVENT);
        let tag = account.client().tag_resource().resource(arn);
        tag.tags("lambda-ops:test-event", event)
            .send()
            .await
            .expect("it is tagged");
    }
    account
}

/// The runtimes that a function may have when its server was killed after `lines`.
fn possible<'a>(lines: &[String], from: &'a str, to: &'a str) -> Vec<&'a str> {
    match event(lines.last().expect("a line")).as_str() {
        "begun" | "publishing" | "published" | "restored" | "closed" => vec![from],
        "updating" | "restoring" => vec![from, to],
        _ => vec![to],
    }
}

/// Makes the function what it was when its server was killed after `lines`, by the same calls.
async fn reach(account: &Embedded, function: &str, lines: &[String], runtimes: &[&str; 2], now: &str) {
    let [from, to] = *runtimes;
    let had = |name: &str| lines.iter().any(|line| event(line) == name);
    if had("publishing") {
        save(account, function).await;
    }
    let came = now != from || had("updated");
    if came {
        set(account, function, to).await;
    }
    if came && had("publishing-new") {
        publish(account, function).await;
    }
    if came && now == from {
        set(account, function, from).await;
    }
}

/// What must have become of it.
fn wanted(lines: &[String], now: &str, from: &str, how: &str) -> &'static str {
    let had = |name: &str| lines.iter().any(|line| event(line) == name);
    let passed = lines.iter().any(|line| line.contains("\"passed\":true"));
    if !had("updating") {
        "unchanged"
    } else if now == from || had("restoring") || (had("testing") && !passed) {
        "rolled-back"
    } else if how == "argument" && !passed {
        // the event is not in the journal, and what was to be tested is not kept untested
        "rolled-back"
    } else {
        "updated"
    }
}

#[tokio::test]
async fn a_change_cut_off_after_any_line_is_finished_or_undone() {
    let mut cases = 0;
    for (function, from, runtime, how) in [
        ("orders-api", "nodejs20.x", "nodejs24.x", "dry-run"),
        ("orders-api", "nodejs20.x", "nodejs24.x", "argument"),
        ("orders-api", "nodejs20.x", "nodejs24.x", "tag"),
        ("invoice-pdf", "nodejs16.x", "nodejs22.x", "argument"),
    ] {
        let arguments = to(function, runtime, (how == "argument").then_some(EVENT));
        let all = lines_of(&prepared(function, how == "tag").await, arguments).await;
        for end in 1..all.len() {
            for torn in [false, true] {
                let lines = &all[..end];
                for now in possible(lines, from, runtime) {
                    let account = prepared(function, how == "tag").await;
                    reach(&account, function, lines, &[from, runtime], now).await;
                    let folder = Folder::new();
                    let half = &all[end][..all[end].len() / 2];
                    leave(
                        &folder,
                        &format!("{}{}", lines.concat(), if torn { half } else { "" }),
                    );
                    let place = format!(
                        "{function} by {how} on {now} after {}, torn: {torn}",
                        event(&lines[end - 1])
                    );

                    let recovered = recovered(keeping(&account, &folder)).await;
                    assert_eq!(recovered.len(), 1, "{place}");
                    let outcome = wanted(lines, now, from, how);
                    assert_eq!(recovered[0]["outcome"], outcome, "{place}: {}", recovered[0]);
                    let end = if outcome == "updated" { runtime } else { from };
                    assert_eq!(
                        shown(&account, function).await,
                        pair(end, "Successful"),
                        "{place}"
                    );
                    let had_begun = lines.iter().any(|line| event(line) == "testing");
                    assert!(
                        !had_begun || account.runs().is_empty(),
                        "{place}: no test is run twice"
                    );
                    assert!(
                        self::recovered(keeping(&account, &folder)).await.is_empty(),
                        "{place}: it is closed"
                    );
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 60, "{cases}");
}

/// Lets a server work until `text` is heard, and ends it there without a chance to do anything more.
fn kill(account: &Embedded, folder: &Folder, arguments: Value, text: &str) {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = Client::of(keeping(account, folder)).await;
        let _call = client.begin(TOOL, arguments).await;
        client.hear(text).await;
        // what is never answered has been asked by now
        while account.calls().last() != Some(&Operation::Invoke) {
            tokio::task::yield_now().await;
        }
    });
    drop(runtime);
}

#[test]
fn a_server_that_is_killed_during_the_test_is_undone_by_the_next() {
    let (account, folder) = (account(), Folder::new());
    // the dry runs of the function as it is and of its new version are answered
    account.faults().never_answer_after(Operation::Invoke, 2);
    let arguments = to("orders-api", "nodejs24.x", Some(EVENT));
    kill(&account, &folder, arguments.clone(), "AWS would run version 2");
    Runtime::new().expect("a runtime").block_on(async {
        assert_eq!(
            shown(&account, "orders-api").await,
            pair("nodejs24.x", "Successful")
        );
        let client = Client::of(keeping(&account, &folder)).await;
        let text = client.refusal(TOOL, arguments.clone()).await;
        assert!(
            text.contains("was left in the middle") && text.contains("recover-updates"),
            "{text}"
        );
        let recovered = client.ok(RECOVER, json!({})).await;
        assert_eq!(recovered["recovered"][0]["outcome"], "rolled-back", "{recovered}");
        assert_eq!(recovered["recovered"][0]["functionName"], "orders-api");
        assert_eq!(
            shown(&account, "orders-api").await,
            pair("nodejs20.x", "Successful")
        );
        assert!(account.runs().is_empty());
        let updated = client.ok(TOOL, arguments).await;
        assert_eq!(updated["outcome"], "updated", "then it can be changed again");
    });
}

/// The lines up to the update, which AWS took.
pub(crate) async fn cut_off(account: &Embedded, folder: &Folder) -> Vec<String> {
    let all = lines_of(&crate::bench::account(), to("orders-api", "nodejs24.x", None)).await;
    let end = all
        .iter()
        .position(|line| event(line) == "updated")
        .expect("an update");
    leave(folder, &all[..end].concat());
    save(account, "orders-api").await;
    set(account, "orders-api", "nodejs24.x").await;
    all[..end].to_vec()
}

#[tokio::test]
async fn what_is_of_another_account_or_region_is_told_and_left_alone() {
    let (account, folder) = (account(), Folder::new());
    let lines = cut_off(&account, &folder).await.concat();
    for (ours, theirs) in [("eu-central-1", "eu-west-1"), ("123456789012", "210987654321")] {
        leave(&folder, &lines.replace(ours, theirs));
        let told = recovered(keeping(&account, &folder)).await;
        assert_eq!(told[0]["outcome"], "open");
        assert!(told[0].to_string().contains("start one there"), "{}", told[0]);
    }
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs24.x", "Successful")
    );
}

#[tokio::test]
async fn what_somebody_else_set_meanwhile_is_left_to_the_user() {
    let (account, folder) = (account(), Folder::new());
    cut_off(&account, &folder).await;
    set(&account, "orders-api", "nodejs22.x").await;
    let told = recovered(keeping(&account, &folder)).await;
    assert_eq!(told[0]["outcome"], "left-to-user", "{}", told[0]);
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs22.x", "Successful")
    );
    assert!(recovered(keeping(&account, &folder)).await.is_empty());
}

/// Somebody else changes the function, and leaves its runtime alone.
async fn mend(account: &Embedded, function: &str) {
    let update = account.client().update_function_configuration();
    let update = update.function_name(function).memory_size(1024);
    update.send().await.expect("it is taken");
    while shown(account, function).await.1 != "Successful" {}
}

#[tokio::test]
async fn a_function_that_was_mended_on_its_new_runtime_is_left_to_the_user() {
    let arguments = to("invoice-pdf", "nodejs22.x", Some(EVENT));
    let all = lines_of(&account(), arguments).await;
    for last in ["updated", "testing", "restoring"] {
        let (account, folder) = (account(), Folder::new());
        let end = all.iter().position(|line| event(line) == last).expect("the line");
        let lines = &all[..=end];
        leave(&folder, &lines.concat());
        reach(
            &account,
            "invoice-pdf",
            lines,
            &["nodejs16.x", "nodejs22.x"],
            "nodejs22.x",
        )
        .await;
        mend(&account, "invoice-pdf").await;
        let told = recovered(keeping(&account, &folder)).await;
        assert_eq!(told[0]["outcome"], "left-to-user", "{last}: {}", told[0]);
        assert_eq!(
            shown(&account, "invoice-pdf").await,
            pair("nodejs22.x", "Successful"),
            "{last}"
        );
    }
}

#[tokio::test]
async fn an_update_that_was_lost_long_ago_cannot_come_any_more() {
    let all = lines_of(&account(), to("orders-api", "nodejs24.x", None)).await;
    let end = all.iter().position(|line| event(line) == "updated").expect("it");
    for (minutes, outcome) in [(5, "open"), (20, "rolled-back")] {
        let (account, folder) = (account(), Folder::new());
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        let lines = all[..end].iter().map(|line| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            line["at"] = json!(then.to_string());
            format!("{line}\n")
        });
        leave(&folder, &lines.collect::<String>());
        save(&account, "orders-api").await;
        account
            .faults()
            .refuse_the_role(Operation::UpdateFunctionConfiguration, 10_000);
        let mut patience = Patience::every(Duration::from_millis(1), Duration::from_millis(100));
        patience.lost.limit = Duration::from_millis(20);
        let told = recovered(keeping(&account, &folder).with_patience(patience)).await;
        assert_eq!(told[0]["outcome"], outcome, "after {minutes} min: {}", told[0]);
    }
}

#[tokio::test]
async fn what_cannot_be_seen_now_stays_open_until_it_can() {
    let (account, folder) = (account(), Folder::new());
    cut_off(&account, &folder).await;
    for fault in ["expired", "denied"] {
        match fault {
            "expired" => account
                .faults()
                .expire_credentials(Operation::GetFunctionConfiguration, 1),
            _ => account.faults().deny(Operation::GetFunctionConfiguration, 1),
        }
        let told = recovered(keeping(&account, &folder)).await;
        assert_eq!(told[0]["outcome"], "open", "{fault}: {}", told[0]);
        assert_eq!(steps(&told[0]), ["recover failed"]);
    }
    let told = recovered(keeping(&account, &folder)).await;
    assert_eq!(told[0]["outcome"], "updated", "{}", told[0]);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_left_to_a_person() {
    let (account, folder) = (account(), Folder::new());
    let mut lines = cut_off(&account, &folder).await;
    lines.insert(2, "not JSON\n".to_owned());
    leave(&folder, &lines.concat());
    let told = recovered(keeping(&account, &folder)).await;
    assert_eq!(told[0]["outcome"], "open");
    assert!(
        told[0].to_string().contains("a person has to look"),
        "{}",
        told[0]
    );
}

#[tokio::test]
async fn what_the_operator_does_not_permit_any_more_stays_open() {
    let (account, folder) = (account(), Folder::new());
    cut_off(&account, &folder).await;
    let write = ["write".to_owned()];
    let others = Allow::read(&write, &["catalog-*".to_owned()], &[]).expect("nothing is wrong");
    let told = recovered(keeping(&account, &folder).with_allow(others)).await;
    assert_eq!(told[0]["outcome"], "open", "{}", told[0]);
}

#[tokio::test]
async fn what_was_recovered_in_the_background_is_told_by_the_first_who_asks() {
    let (account, folder) = (account(), Folder::new());
    cut_off(&account, &folder).await;
    account.set_pace(BRISK);
    let server = keeping(&account, &folder);
    server.recover_in_background();
    while shown(&account, "orders-api").await != pair("nodejs24.x", "Successful")
        || !account.calls().contains(&Operation::PublishVersion)
    {
        tokio::task::yield_now().await;
    }
    let told = server.recover().await.expect("the journal can be read");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].report.outcome, Outcome::Updated);
    assert!(
        server
            .recover()
            .await
            .expect("the journal can be read")
            .is_empty()
    );
}
