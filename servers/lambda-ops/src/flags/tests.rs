//! What flags come to, and what is said of wrong ones.

use super::*;

fn read_with(flags: &Flags, variables: &[(&str, &str)], host: &skydock::Flags) -> Result<Choice, Faults> {
    let variable = |wanted: &str| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| OsString::from(value))
    };
    flags.read(&Around::process(host, &variable))
}

fn read(flags: &Flags) -> Result<Choice, Faults> {
    read_with(flags, &[("HOME", "/home/ana")], &skydock::Flags::default())
}

fn listening() -> skydock::Flags {
    skydock::Flags {
        listen: Some("127.0.0.1:0".into()),
        ..skydock::Flags::default()
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn without_flags_it_is_aws_and_its_page_and_reading_only() {
    let choice = read(&Flags::default()).expect("nothing is wrong");
    assert_eq!(choice.account, Chosen::Aws);
    let page = choice.runtimes_page.map(String::from);
    assert_eq!(page.as_deref(), Some(RUNTIMES_PAGE));
    assert!(!choice.allow.may_invoke() && !choice.allow.may_write());
    let usual = Path::new("/home/ana/.local/state/skydock/lambda-ops");
    assert_eq!(
        choice.journal.as_deref(),
        Some(usual),
        "what is there is looked at"
    );
    let homeless = read_with(&Flags::default(), &[], &skydock::Flags::default());
    let journal = homeless.expect("nothing is wrong").journal;
    assert_eq!(journal, None, "what changes nothing needs no journal");
}

#[test]
fn the_embedded_account_reads_no_page_unless_told_to_and_permits_no_more() {
    let flags = Flags {
        account: Some("embedded".into()),
        embedded_seed: Some("7".into()),
        embedded_functions: Some("1000".into()),
        ..Flags::default()
    };
    let choice = read(&flags).expect("nothing is wrong");
    let functions = 1000;
    assert_eq!(choice.account, Chosen::Embedded { seed: 7, functions });
    assert_eq!(choice.runtimes_page, None);
    assert!(!choice.allow.may_invoke() && !choice.allow.may_write());
}

#[test]
fn a_seed_without_the_embedded_account_is_a_fault() {
    let flags = Flags {
        embedded_seed: Some("7".into()),
        ..Flags::default()
    };
    let faults = read(&flags)
        .expect_err("nobody wants AWS with a seed")
        .to_string();
    assert!(faults.contains("give --account embedded too"), "{faults}");
}

#[test]
fn every_fault_is_named_at_once() {
    let flags = Flags {
        account: Some("azure".into()),
        embedded_seed: Some("-1".into()),
        embedded_functions: Some("5001".into()),
        runtimes_page: Some("ftp://example.com".into()),
        allow: strings(&["everything"]),
        allow_function: strings(&["["]),
        audit: Some("stdout".into()),
        journal: Some("".into()),
        ..Flags::default()
    };
    let faults = read(&flags).expect_err("all of them are wrong").to_string();
    for text in [
        "--account (SKYDOCK_ACCOUNT) is \"azure\"",
        "is \"-1\"",
        "is \"5001\"",
        "is \"ftp://example.com\"",
        "--allow (SKYDOCK_ALLOW) is \"everything\"",
        "--allow-function (SKYDOCK_ALLOW_FUNCTION) is \"[\"",
        "--audit (SKYDOCK_AUDIT) is \"stdout\": on stdio",
        "--journal (SKYDOCK_JOURNAL): it is empty; write",
    ] {
        assert!(faults.contains(text), "{text}: {faults}");
    }
}

#[test]
fn the_audit_may_go_to_stdout_where_nobody_speaks_on_it() {
    let flags = Flags {
        audit: Some("stdout".into()),
        ..Flags::default()
    };
    read_with(&flags, &[], &listening()).expect("HTTP");
    let lambda = [("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")];
    read_with(&flags, &lambda, &skydock::Flags::default()).expect("Lambda");
    read_with(&flags, &[], &skydock::Flags::default()).expect_err("stdio");
}

#[test]
fn an_audit_that_cannot_be_opened_is_a_fault() {
    let flags = Flags {
        audit: Some("/no/such/folder/audit.jsonl".into()),
        ..Flags::default()
    };
    let faults = read(&flags).expect_err("there is no such folder").to_string();
    assert!(
        faults.contains("--audit (SKYDOCK_AUDIT) is \"/no/such/folder/audit.jsonl\": cannot be opened"),
        "{faults}"
    );
}

#[test]
fn changes_are_remembered_in_the_users_state_folder() {
    let flags = Flags {
        allow: strings(&["write"]),
        ..Flags::default()
    };
    let journal = |variables: &[(&str, &str)]| {
        let read = read_with(&flags, variables, &skydock::Flags::default());
        read.map(|choice| choice.journal)
    };
    let at = |path: &str| Ok(Some(PathBuf::from(path)));
    let home = ("HOME", "/home/ana");
    assert_eq!(journal(&[home]), at("/home/ana/.local/state/skydock/lambda-ops"));
    assert_eq!(
        journal(&[home, ("XDG_STATE_HOME", "/state")]),
        at("/state/skydock/lambda-ops")
    );
    assert_eq!(
        journal(&[home, ("XDG_STATE_HOME", "state")]),
        at("/home/ana/.local/state/skydock/lambda-ops")
    );
    let faults = journal(&[]).expect_err("nowhere to keep it").to_string();
    assert!(
        faults.contains("--journal (SKYDOCK_JOURNAL): name a folder"),
        "{faults}"
    );
    let named = Flags {
        journal: Some("/var/lib/lambda-ops".into()),
        ..flags.clone()
    };
    let choice = read_with(&named, &[], &skydock::Flags::default()).expect("it is named");
    assert_eq!(choice.journal.as_deref(), Some(Path::new("/var/lib/lambda-ops")));
    let embedded = Flags {
        account: Some("embedded".into()),
        ..flags.clone()
    };
    let choice = read_with(&embedded, &[], &skydock::Flags::default()).expect("it needs none");
    assert_eq!(choice.journal, None);
}
