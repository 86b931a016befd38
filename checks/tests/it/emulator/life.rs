//! The life of an environment: started when it is needed, frozen, thawed, ended in time, never left behind.

use std::{collections::BTreeSet, path::Path, time::Duration};

use futures::future::join_all;
use serde_json::json;

use super::{call, echoed, function, server, text};

/// The state of a process that was stopped.
const STOPPED: char = 'T';

/// Looks again until it is so: what the kernel does to another process is no event here.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..200 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come");
}

fn exists(pid: u32) -> bool {
    // one that nobody has waited for yet has no command line any more
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn an_environment_is_frozen_between_invocations_and_ends_with_the_emulator() {
    let emulator = server("url", &[]).await;
    let frozen = || {
        emulator
            .functions()
            .unwrap()
            .iter()
            .all(|process| process.state == STOPPED)
    };
    until("the freeze after the start", frozen).await;
    let answered = call(emulator.url(), "test_simple_text", &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(answered.status(), 200);
    until("the freeze after an invocation", frozen).await;
    let functions = emulator.functions().unwrap();
    assert_eq!(functions.len(), 1, "{functions:?}");
    let pid = functions[0].id;
    assert!(exists(pid));
    assert!(emulator.stop().await.unwrap().success());
    until("the end of the function", || !exists(pid)).await;
}

#[tokio::test]
async fn a_function_with_an_extension_is_told_to_end() {
    let emulator = server("url", &["--recycle", "1"]).await;
    let before = emulator.functions().unwrap();
    for _ in 0..2 {
        let answered = call(emulator.url(), "test_simple_text", &json!({}))
            .send()
            .await
            .unwrap();
        assert_eq!(answered.status(), 200);
        // SIGTERM reaches it, so it says so before it ends
        emulator.says("the environment is shut down").await.unwrap();
    }
    emulator
        .says("conformance-server environment 2 has ended")
        .await
        .unwrap();
    assert!(!exists(before[0].id));
}

#[tokio::test]
async fn parallel_calls_get_environments_of_their_own_and_what_is_too_much_is_refused() {
    let emulator = server("url", &["--environments", "2"]).await;
    let calls = (0..5).map(|_| call(emulator.url(), "sleep", &json!({"seconds": 1})).send());
    let mut statuses: Vec<u16> = join_all(calls)
        .await
        .into_iter()
        .map(|answered| answered.unwrap().status().as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429, 429], "{}", emulator.log());
    assert_eq!(emulator.functions().unwrap().len(), 2);
    // one call after another is no parallel call, however fast it comes
    for _ in 0..30 {
        let answered = call(emulator.url(), "test_simple_text", &json!({}))
            .send()
            .await
            .unwrap();
        assert_eq!(answered.status(), 200, "{}", emulator.log());
    }
}

#[tokio::test]
async fn the_environment_that_worked_last_works_next_unless_they_take_turns() {
    for (flags, processes) in [(&[][..], 1), (&["--environments", "3", "--in-turn"][..], 3)] {
        let emulator = function("url", flags, "echo").await;
        let mut pids = BTreeSet::new();
        for _ in 0..3 {
            let answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
            pids.insert(echoed(answered).await["pid"].as_u64().unwrap());
        }
        assert_eq!(pids.len(), processes, "{flags:?}");
    }
}

#[tokio::test]
async fn a_managed_instance_works_on_several_invocations_at_once() {
    let emulator = server("alb", &["--environments", "1", "--concurrency", "4"]).await;
    let calls = (0..4).map(|_| call(emulator.url(), "sleep", &json!({"seconds": 0.3})).send());
    for answered in join_all(calls).await {
        assert_eq!(answered.unwrap().status(), 200, "{}", emulator.log());
    }
    let functions = emulator.functions().unwrap();
    assert_eq!(functions.len(), 1);
    assert_ne!(
        functions[0].state, STOPPED,
        "its other invocations would be frozen too"
    );
}

#[tokio::test]
async fn a_tool_is_answered_for_before_lambda_ends_it_and_a_panic_leaves_the_environment_warm() {
    let emulator = server("url", &["--timeout", "1"]).await;
    let before = emulator.functions().unwrap()[0].id;
    let late = call(emulator.url(), "sleep", &json!({"seconds": 60}))
        .send()
        .await
        .unwrap();
    assert_eq!(late.status(), 200, "{}", emulator.log());
    let panicked = call(emulator.url(), "panic", &json!({})).send().await.unwrap();
    assert!(panicked.text().await.unwrap().contains("internal error"));
    assert_eq!(emulator.functions().unwrap()[0].id, before, "it was not ended");
}

#[tokio::test]
async fn a_function_that_does_not_answer_in_time_is_ended_and_another_one_is_started() {
    let emulator = function("url", &["--timeout", "0.3"], "hang").await;
    let before = emulator.functions().unwrap()[0].id;
    let late = call(emulator.url(), "any", &json!({})).send().await.unwrap();
    assert_eq!(late.status(), 502);
    emulator.says("Task timed out after 0.30 seconds").await.unwrap();
    until("its end", || !exists(before)).await;
    let again = call(emulator.url(), "any", &json!({})).send().await.unwrap();
    assert_eq!(again.status(), 502);
    emulator.says("environment 2 is ready").await.unwrap();
}

#[tokio::test]
async fn a_function_that_ends_is_told_of_with_its_status() {
    let emulator = function("apigw-v2", &[], "exit").await;
    let answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
    assert_eq!(answered.status(), 500);
    emulator
        .says("Error: Runtime exited with error: exit status 3")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_killed_emulator_leaves_nothing_behind() {
    // the kernel often ends what is stopped and has nobody any more, but not this one
    let emulator = function("url", &[], "deaf").await;
    let frozen = || {
        let functions = emulator.functions().unwrap();
        functions.iter().any(|process| process.state == STOPPED)
    };
    until("the freeze", frozen).await;
    let function = emulator.functions().unwrap()[0].id;
    // SIGKILL: it can do nothing about it
    drop(emulator);
    until("the end of the function", || !exists(function)).await;
}

#[tokio::test]
async fn what_a_function_has_started_ends_with_it() {
    let script = "sleep 4711 & exit 3";
    let started = checks::emulator::Emulator::start("url", &[], Path::new("/bin/sh"), &["-c", script]).await;
    assert!(format!("{:#}", started.unwrap_err()).contains("exit status 3"));
    let left = || {
        let processes = std::fs::read_dir("/proc").unwrap();
        processes
            .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok())
            .any(|line| line == b"sleep\x004711\x00")
    };
    until("the end of its child", || !left()).await;
}

#[tokio::test]
async fn one_that_is_killed_between_invocations_is_told_of_and_replaced() {
    let emulator = server("url", &[]).await;
    let pid = emulator.functions().unwrap()[0].id;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let failed = call(emulator.url(), "test_simple_text", &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(failed.status(), 502);
    emulator
        .says("Runtime exited with error: signal: 9")
        .await
        .unwrap();
    let answered = call(emulator.url(), "test_simple_text", &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(answered.status(), 200);
}

#[tokio::test]
async fn one_that_cannot_start_is_told_of_before_there_is_a_url() {
    let start = async |binary: &str, arguments: &[&str]| {
        let started = checks::emulator::Emulator::start("url", &[], Path::new(binary), arguments).await;
        format!("{:#}", started.unwrap_err())
    };
    let gone = start("/nowhere/pizza", &[]).await;
    assert!(gone.contains("cannot start /nowhere/pizza"), "{gone}");
    let ended = start("/bin/false", &[]).await;
    assert!(ended.contains("exit status 1"), "{ended}");
    let python = checks::tools::python("python").unwrap();
    let script = checks::tools::workspace().join("checks/tools/function.py");
    let told = start(
        python.to_str().unwrap(),
        &[script.to_str().unwrap(), "init-error"],
    )
    .await;
    assert!(told.contains("Shop.NoOven: there is no oven"), "{told}");
    // our own programs say what is wrong with them, and Lambda is told that they did
    let wrong = start(super::SERVER, &["--mode", "statefull"]).await;
    assert!(
        wrong.contains("statefull") && wrong.contains("its log says why"),
        "{wrong}"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_end_the_invocation() {
    let emulator = server("url", &["--environments", "1"]).await;
    let call = call(emulator.url(), "sleep", &json!({"seconds": 0.5}));
    let gone = call.timeout(Duration::from_millis(100)).send().await;
    assert!(gone.unwrap_err().is_timeout());
    let asked = super::call(emulator.url(), "sleepers", &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 429, "the only environment is still at work");
    until("the end of the invocation", || {
        emulator
            .functions()
            .unwrap()
            .iter()
            .all(|process| process.state == STOPPED)
    })
    .await;
    let asked = super::call(emulator.url(), "sleepers", &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(text(asked).await, "0");
}
