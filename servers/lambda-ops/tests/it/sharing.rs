//! A journal that servers of several accounts and regions share: what each does with the entries of others, with those
//! that cannot be read, and with a recovery whose caller has left.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use lambda_ops::{
    audit::Audit,
    embedded::{Embedded, Operation},
    upgrade::Outcome,
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    bench::{Client, Folder, account},
    recovering::{RECOVER, TOOL, cut_off, keeping, leave_as, lines_of, recovered},
    updating::{pair, shown, to},
};

const FIRST: &str = "20261122T130000Z-0000000000000000.jsonl";
const SECOND: &str = "20261122T130000Z-0000000000000002.jsonl";
/// Who the embedded account says that its callers are.
const HERE: &str = "123456789012";
const ELSEWHERE: &str = "210987654321";

/// Waits for a call after the first `before` ones.
async fn asked(account: &Embedded, before: usize, operation: Operation) {
    while !account.calls()[before..].contains(&operation) {
        tokio::task::yield_now().await;
    }
}

fn updates(account: &Embedded) -> usize {
    let calls = account.calls();
    let updates = calls
        .iter()
        .filter(|call| **call == Operation::UpdateFunctionConfiguration);
    updates.count()
}

/// True if nobody holds the entry.
fn is_free(entry: &Path) -> bool {
    let file = File::options()
        .read(true)
        .write(true)
        .open(entry)
        .expect("it is there");
    file.try_lock().is_ok()
}

#[tokio::test]
async fn a_token_of_one_account_or_region_says_nothing_in_another() {
    let mut arguments = to("orders-api", "nodejs24.x", None);
    arguments["clientToken"] = json!("upgrade-1");
    let whole = lines_of(&account(), arguments.clone()).await.concat();
    let half: String = whole.split_inclusive('\n').take(3).collect();
    for (ours, theirs) in [(HERE, ELSEWHERE), ("eu-central-1", "eu-west-1")] {
        for text in [&whole, &half] {
            let (account, folder) = (account(), Folder::new());
            leave_as(&folder, FIRST, &text.replace(ours, theirs));
            let client = Client::of(keeping(&account, &folder)).await;
            let report = client.ok(TOOL, arguments.clone()).await;
            assert_eq!(report["outcome"], "updated", "{report}");
            assert_eq!(report["identity"]["account"], HERE);
            assert_eq!(updates(&account), 1, "it is made here, too");
            client.ok(TOOL, arguments.clone()).await;
            assert_eq!(updates(&account), 1, "and once");
        }
    }
}

#[tokio::test]
async fn a_recovery_whose_caller_has_left_goes_on_and_is_told_to_the_next() {
    let (account, folder) = (account(), Folder::new());
    cut_off(&account, &folder).await;
    let audit = Audit::in_memory();
    let server = keeping(&account, &folder).with_audit(audit.clone());
    let before = account.calls().len();
    tokio::select! {
        biased;
        told = server.recover() => panic!("it ended before its caller left: {told:?}"),
        () = asked(&account, before, Operation::PublishVersion) => {}
    }
    let told = server.recover().await.expect("the journal can be read");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].report.outcome, Outcome::Updated);
    let audit = audit.lines();
    let outcomes: Vec<&Value> = audit.iter().map(|line| &line["outcome"]).collect();
    assert_eq!(outcomes, ["begun", "updated"]);
    assert_eq!(audit[0]["id"], audit[1]["id"]);
    let published = account.calls();
    let published = published[before..]
        .iter()
        .filter(|call| **call == Operation::PublishVersion);
    assert_eq!(published.count(), 1, "nothing is done twice");
}

#[tokio::test]
async fn what_was_recovered_before_its_caller_left_is_told_beside_what_came_after() {
    let (account, folder) = (account(), Folder::new());
    leave_as(&folder, FIRST, "not JSON\n");
    cut_off(&account, &folder).await;
    let server = keeping(&account, &folder);
    let before = account.calls().len();
    tokio::select! {
        biased;
        told = server.recover() => panic!("it ended before its caller left: {told:?}"),
        () = asked(&account, before, Operation::PublishVersion) => {}
    }
    let told = server.recover().await.expect("the journal can be read");
    let outcomes: Vec<Outcome> = told.iter().map(|one| one.report.outcome).collect();
    assert!(
        outcomes.len() == 2 && outcomes.contains(&Outcome::Open) && outcomes.contains(&Outcome::Updated),
        "each is told once: {told:?}"
    );
}

#[tokio::test]
async fn a_recovery_tells_which_entry_it_is_at() {
    let (account, folder) = (account(), Folder::new());
    cut_off(&account, &folder).await;
    let client = Client::of(keeping(&account, &folder)).await;
    client.ok(RECOVER, json!({})).await;
    let heard = client.hear("1 of 1").await;
    assert!(heard.contains("orders-api"), "{heard}");
}

#[tokio::test]
async fn a_recovery_holds_the_entry_it_is_at_and_no_other() {
    let (account, folder) = (account(), Folder::new());
    let lines = cut_off(&account, &folder).await.concat();
    let of_others = leave_as(&folder, FIRST, &lines.replace(HERE, ELSEWHERE));
    let later = leave_as(&folder, SECOND, &lines.replace("orders-api", "catalog-api"));
    account.faults().never_answer(Operation::PublishVersion);
    let server = keeping(&account, &folder);
    let before = account.calls().len();
    server.recover_in_background();
    asked(&account, before, Operation::PublishVersion).await;
    assert!(is_free(&later), "it is not its turn");
    assert!(is_free(&of_others), "it is no business of this server");

    // in the account of the others
    let other = Embedded::new(1);
    let answer = Client::of(keeping(&other, &folder)).await;
    fs::remove_file(later).expect("it is removed");
    let answer = answer.ok(RECOVER, json!({})).await;
    let running = answer["running"].as_array().expect("a list");
    assert_eq!(running.len(), 1, "{answer}");
    assert!(
        running[0]["functionArn"]
            .as_str()
            .expect("an ARN")
            .ends_with(":orders-api")
    );
    let open = answer["recovered"].as_array().expect("a list");
    assert_eq!(open.len(), 1, "{answer}");
    assert_eq!(
        (&open[0]["id"], &open[0]["outcome"]),
        (&json!(FIRST), &json!("open"))
    );
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_told_and_hides_no_other() {
    let (account, folder) = (account(), Folder::new());
    cut_off(&account, &folder).await;
    let garbled = leave_as(&folder, FIRST, "{\"event\":\"of the future\"}\n");
    let directory = folder.path().join("journal").join(SECOND);
    fs::create_dir(&directory).expect("nobody can read it as a file");
    let client = Client::of(keeping(&account, &folder)).await;
    for wanted in [["open", "updated", "open"].as_slice(), &["open", "open"]] {
        let answer = client.ok(RECOVER, json!({})).await;
        let told = answer["recovered"].as_array().expect("a list");
        let outcomes: Vec<&Value> = told.iter().map(|one| &one["outcome"]).collect();
        assert_eq!(outcomes, wanted, "{answer}");
        for (one, name) in [(told.first(), FIRST), (told.last(), SECOND)] {
            let one = one.expect("it is told");
            assert_eq!(
                (&one["id"], &one["functionName"]),
                (&json!(name), &json!("unknown"))
            );
        }
    }
    assert!(garbled.exists() && directory.exists(), "nothing of it is removed");
    let updated = client.ok(TOOL, to("catalog-api", "nodejs24.x", None)).await;
    assert_eq!(
        updated["outcome"], "updated",
        "other changes are made all the same"
    );
    assert!(garbled.exists() && directory.exists(), "nothing of it is removed");
}

#[tokio::test]
async fn a_recovery_is_of_the_identity_that_acts() {
    let (account, folder) = (account(), Folder::new());
    let lines = cut_off(&account, &folder).await;
    let mut begun: Value = serde_json::from_str(&lines[0]).expect("JSON");
    begun["plan"]["identity"]["arn"] = json!("arn:aws:iam::123456789012:user/gone");
    let text = format!("{begun}\n{}", lines[1..].concat());
    fs::remove_dir_all(folder.path().join("journal")).expect("it is removed");
    leave_as(&folder, FIRST, &text);
    let audit = Audit::in_memory();
    let client = Client::of(keeping(&account, &folder).with_audit(audit.clone())).await;
    let answer = client.ok(RECOVER, json!({})).await;
    assert_eq!(answer["recovered"][0]["outcome"], "updated", "{answer}");
    assert_eq!(answer["recovered"][0]["identity"], answer["identity"]);
    let audit = audit.lines();
    assert_eq!(audit.len(), 2);
    for line in audit {
        assert_eq!(line["principal"], answer["identity"], "{line}");
    }
}

#[tokio::test]
async fn what_this_server_leaves_alone_is_not_begun() {
    let (account, folder) = (account(), Folder::new());
    let lines = cut_off(&account, &folder).await.concat();
    fs::remove_dir_all(folder.path().join("journal")).expect("it is removed");
    leave_as(&folder, FIRST, &lines.replace(HERE, ELSEWHERE));
    leave_as(&folder, SECOND, "not JSON\n");
    let audit = Audit::in_memory();
    let told = recovered(keeping(&account, &folder).with_audit(audit.clone())).await;
    assert_eq!(told.len(), 2);
    assert_eq!(audit.lines(), Vec::<Value>::new());
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs24.x", "Successful")
    );
}

/// What the program logs when it starts with these arguments on the journal's folder.
async fn log(folder: &Folder, arguments: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lambda-ops"));
    program
        .env_clear()
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .envs([
            ("AWS_REGION", "eu-central-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ])
        .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")])
        .args(["--runtimes-page", "off"])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = program.output().await.expect("the program runs");
    String::from_utf8(ended.stderr).expect("UTF-8")
}

#[tokio::test]
async fn a_server_that_may_not_write_names_what_is_open_when_it_starts_and_does_nothing() {
    let (account, folder) = (account(), Folder::new());
    let lines = cut_off(&account, &folder).await.concat();
    // where it is kept unless told otherwise
    let usual = folder.path().join("state/skydock/lambda-ops");
    fs::create_dir_all(&usual).expect("a folder");
    fs::write(usual.join(FIRST), &lines).expect("it is written");
    fs::write(usual.join(SECOND), "").expect("it is written");
    let named = folder.path().join("journal").display().to_string();
    for arguments in [vec![], vec!["--account", "embedded", "--journal", &*named]] {
        let log = log(&folder, &arguments).await;
        assert!(
            log.contains(r#""changes that the journal holds open","open":1"#),
            "{log}"
        );
        assert!(
            log.contains("WARN") && log.contains("start one with --allow write"),
            "{log}"
        );
        assert!(
            log.contains(".jsonl (arn:aws:lambda") && log.contains(":orders-api"),
            "{log}"
        );
    }
    assert_eq!(fs::read_to_string(usual.join(FIRST)).expect("it is there"), lines);
    assert!(usual.join(SECOND).exists(), "nothing is removed");
}

#[tokio::test]
async fn a_server_that_may_not_write_makes_no_journal() {
    let folder = Folder::new();
    let named = folder.path().join("journal");
    let arguments = ["--account", "embedded", "--journal", &named.display().to_string()];
    let log = log(&folder, &arguments).await;
    assert!(log.contains(r#""open":0"#) && !log.contains("WARN"), "{log}");
    assert!(!named.exists() && !folder.path().join("state").exists());
}
