//! `skydock call`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, response::Redirect, routing::any};
use serde_json::json;

use crate::program::{http, mcp, serve, skydock, skydock_with, stdio};

const ERAS: [&str; 2] = ["2025-11-25", "2026-07-28"];

#[tokio::test]
async fn everything_is_listed_over_http_and_over_stdio() {
    for target in [http().await, stdio()] {
        let ran = skydock(&["call", &target]).await.ended(0);
        for text in [
            "peer 7.0.0",
            "MCP 2026-07-28",
            "Ask for pizza.",
            "Tools (9)",
            "echo  read-only",
            "text   string, required  What to say",
            "small | large",
            "menu://today",
            "menu://{day}",
            "Prompts (1)",
            "Whom to greet",
        ] {
            assert!(ran.stdout.contains(text), "{text} is not in {}", ran.stdout);
        }
        assert!(!ran.stdout.contains('\u{1b}') && ran.stderr.is_empty(), "{ran:?}");
        assert!(
            ran.stdout.lines().all(|line| line.chars().count() <= 80),
            "{}",
            ran.stdout
        );
    }
}

#[tokio::test]
async fn the_listing_as_json_is_the_servers() {
    let catalog = skydock(&["call", &http().await, "--json-output"])
        .await
        .ended(0)
        .json();
    assert_eq!(catalog["tools"].as_array().unwrap().len(), 9);
    assert_eq!(catalog["resources"][0]["uri"], "menu://today");
    assert_eq!(catalog["resourceTemplates"][0]["uriTemplate"], "menu://{day}");
    assert_eq!(catalog["prompts"][0]["name"], "greet");
}

#[tokio::test]
async fn words_become_what_the_tool_takes() {
    let words = [
        "text=1",
        "times=2",
        "loud=true",
        "tags=a",
        "tags=b=c",
        "size=large",
    ];
    let echo = |target: String| async move {
        skydock(&[&["call", &target, "echo"], words.as_slice()].concat())
            .await
            .ended(0)
            .json()
    };
    let wanted = json!({"text": "1", "times": 2, "loud": true, "tags": ["a", "b=c"], "size": "large"});
    assert_eq!(echo(http().await).await, wanted);
    assert_eq!(echo(stdio()).await, wanted);
}

#[tokio::test]
async fn arguments_come_as_json_from_the_command_line_a_file_and_stdin() {
    let target = http().await;
    let json = r#"{"text": "hi", "times": 3}"#;
    let file = std::env::temp_dir().join(format!("skydock-arguments-{}.json", std::process::id()));
    std::fs::write(&file, json).unwrap();
    for (source, stdin) in [(json, ""), (&format!("@{}", file.display()), ""), ("-", json)] {
        let ran = skydock_with(&["call", &target, "echo", "--json", source], stdin)
            .await
            .ended(0);
        assert_eq!(ran.json()["times"], 3, "from {source}");
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_slip_of_the_finger_is_told_before_anything_is_called() {
    let target = http().await;
    let ran = skydock(&["call", &target, "ehco", "text=x"]).await.ended(2);
    assert_eq!(
        ran.stderr,
        "error: there is no tool \"ehco\"; did you mean echo?\n"
    );
    let ran = skydock(&["call", &target, "pizza"]).await.ended(2);
    assert!(ran.stderr.contains("the server has "), "{ran:?}");
    let ran = skydock(&["call", &target, "echo", "times=two", "txt=x", "size=huge"])
        .await
        .ended(2);
    for fault in [
        "times must be an integer, not \"two\"",
        "size must be one of small, large, not \"huge\"",
        "echo has no argument \"txt\"; did you mean text?",
        "echo needs text: What to say; add text=… (string)",
    ] {
        assert!(ran.stderr.contains(fault), "{fault} is not in {}", ran.stderr);
    }
}

#[tokio::test]
async fn unchecked_arguments_reach_the_server() {
    let ran = skydock(&["call", &http().await, "echo", "--no-check", "txt=x"])
        .await
        .ended(1);
    assert!(ran.stdout.contains("missing field `text`"), "{ran:?}");
}

#[tokio::test]
async fn every_fault_of_the_words_is_named_at_once() {
    let words = [
        "call", "run 'it", "--json", "[1", "--header", "s3cr3t", "--answer", "x", "--root", "/nowhere",
    ];
    let ran = skydock(&words).await.ended(2);
    for fault in [
        "not a command line",
        "--json",
        "a --header has no colon",
        "--answer \"x\"",
        "--root /nowhere",
    ] {
        assert!(ran.stderr.contains(fault), "{fault} is not in {}", ran.stderr);
    }
    assert!(ran.stdout.is_empty() && !ran.stderr.contains("s3cr3t"), "{ran:?}");
}

#[tokio::test]
async fn what_is_not_there_is_told_with_the_remedy() {
    // a port that was free a moment ago
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let ran = skydock(&["call", &gone]).await.ended(1);
    assert!(
        ran.stderr.contains("nothing answers at") && ran.stderr.contains("refused"),
        "{ran:?}"
    );
    let ran = skydock(&["call", "no-such-program --flag"]).await.ended(2);
    assert!(
        ran.stderr
            .contains("cannot start `no-such-program`; is it installed"),
        "{ran:?}"
    );
    let ran = skydock(&["call", "localhost:8000"]).await.ended(2);
    assert!(ran.stderr.contains("write http://localhost:8000"), "{ran:?}");
}

#[tokio::test]
async fn what_does_not_speak_mcp_is_told_with_its_last_words() {
    let ran = skydock(&["call", "echo hello"]).await.ended(1);
    assert!(ran.stderr.contains("does not answer as an MCP server"), "{ran:?}");
    let ran = skydock(&["call", "sh -c 'echo no licence >&2; exit 3'"])
        .await
        .ended(1);
    assert!(ran.stderr.contains("no licence"), "{ran:?}");
    let site = serve(Router::new().fallback(any(|| async { "<h1>It works</h1>" }))).await;
    let ran = skydock(&["call", &site]).await.ended(1);
    assert!(ran.stderr.contains("does not answer as an MCP server"), "{ran:?}");
    let ran = skydock(&["call", "--timeout", "1", "sleep 60"]).await.ended(1);
    assert!(
        ran.stderr.contains("did not answer the handshake within 1 s"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_url_without_a_path_means_mcp_and_then_the_root() {
    let usual = serve(mcp()).await;
    let ran = skydock(&["call", &usual]).await.ended(0);
    assert!(ran.stdout.contains(&format!("{usual}/mcp")), "{ran:?}");
    let at_root = serve(root()).await;
    skydock(&["call", &at_root]).await.ended(0);
}

/// The server at `/` alone.
fn root() -> Router {
    use rmcp::transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    };
    let service = StreamableHttpService::new(
        || Ok(crate::server::Peer::default()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    Router::new().route_service("/", service)
}

#[tokio::test]
async fn a_tools_own_error_is_its_text_and_exit_code_1() {
    let ran = skydock(&["call", &http().await, "fail"]).await.ended(1);
    assert_eq!(ran.stdout, "the oven is cold\n");
}

#[tokio::test]
async fn pictures_are_named_and_not_printed() {
    let ran = skydock(&["call", &http().await, "picture"]).await.ended(0);
    assert_eq!(ran.stdout, "[image: image/png, 5 bytes]\n");
}

#[tokio::test]
async fn progress_is_told_on_stderr_as_it_happens() {
    for target in [http().await, stdio()] {
        for era in ERAS {
            let ran = skydock(&["call", &target, "--era", era, "bake"]).await.ended(0);
            assert_eq!(ran.stdout, "done\n");
            assert_eq!(ran.stderr.lines().next(), Some("… 1/3 in the oven"), "{ran:?}");
        }
    }
}

#[tokio::test]
async fn each_revision_is_spoken_when_it_is_asked_for() {
    for target in [http().await, stdio()] {
        for era in [
            "2024-11-05",
            "2025-03-26",
            "2025-06-18",
            "2025-11-25",
            "2026-07-28",
        ] {
            let ran = skydock(&["call", &target, "--era", era, "about"]).await.ended(0);
            assert_eq!(ran.json()["revision"], era);
        }
        let ran = skydock(&["call", &target, "about"]).await.ended(0);
        assert_eq!(ran.json()["revision"], "2026-07-28");
    }
    let ran = skydock(&["call", "x", "--era", "2020-01-01"]).await.ended(2);
    assert!(ran.stderr.contains("use auto or one of 2024-11-05"), "{ran:?}");
}

#[tokio::test]
async fn a_question_is_answered_by_answer_in_both_eras() {
    for target in [http().await, stdio()] {
        for era in ERAS {
            let words = [
                "call", &target, "--era", era, "ask", "--answer", "count=2", "--answer", "x=1",
            ];
            let ran = skydock(&words).await.ended(0);
            let wanted = json!({"action": "accept", "content": {"count": 2, "cheese": true}});
            assert_eq!(ran.json(), wanted, "{target} {era}");
            assert!(ran.stderr.contains("How many pizzas?"), "{ran:?}");
            assert!(
                ran.stderr.contains("the server did not ask for --answer x"),
                "{ran:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_question_that_nobody_can_answer_is_declined() {
    let target = http().await;
    for era in ERAS {
        let ran = skydock(&["call", &target, "--era", era, "ask"]).await.ended(0);
        assert_eq!(ran.json(), json!({"action": "decline"}), "{era}");
        assert!(ran.stderr.contains("add --answer count=… (integer)"), "{ran:?}");
        let ran = skydock(&["call", &target, "--era", era, "ask", "--answer", "count=0"])
            .await
            .ended(0);
        assert_eq!(ran.json(), json!({"action": "decline"}), "{era}");
        assert!(
            ran.stderr.contains("--answer count must be at least 1"),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn roots_are_told_and_sampling_is_refused() {
    let root = std::env::temp_dir().canonicalize().unwrap();
    let words = [
        "call",
        &http().await,
        "--era",
        "2025-11-25",
        "interview",
        "--root",
        root.to_str().unwrap(),
    ];
    let interview = skydock(&words).await.ended(0).json();
    assert_eq!(interview["roots"][0]["uri"], format!("file://{}", root.display()));
    assert!(interview["sample"].as_str().is_some(), "{interview}");
}

#[tokio::test]
async fn headers_and_a_bearer_token_are_sent() {
    let file = std::env::temp_dir().join(format!("skydock-token-{}", std::process::id()));
    std::fs::write(&file, "abc\n").unwrap();
    let words = [
        "call",
        &http().await,
        "--header",
        "X-Kitchen: hot",
        "--bearer-file",
        file.to_str().unwrap(),
        "about",
    ];
    let about = skydock(&words).await.ended(0).json();
    std::fs::remove_file(file).unwrap();
    assert_eq!(
        (&about["kitchen"], &about["authorization"]),
        (&json!("hot"), &json!("Bearer abc"))
    );
}

#[tokio::test]
async fn prompts_and_resources_are_read() {
    let target = http().await;
    let ran = skydock(&["call", &target, "--prompt", "greet", "name=Ada"])
        .await
        .ended(0);
    assert_eq!(ran.stdout, "user:\nSay hello to Ada\n");
    let ran = skydock(&["call", &target, "--prompt", "greet"]).await.ended(2);
    assert!(ran.stderr.contains("greet needs name: Whom to greet"), "{ran:?}");
    let ran = skydock(&["call", "--stdio", &stdio(), "--resource", "menu://today"])
        .await
        .ended(0);
    assert_eq!(ran.stdout, "[menu://today]\nMargherita\n");
}

#[tokio::test]
async fn headers_do_not_follow_a_redirect_to_another_host() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let other = serve(Router::new().fallback(any(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { "thanks" }
    })))
    .await;
    let elsewhere = format!("{other}/mcp");
    let routes = mcp()
        .route("/moved", any(|| async { Redirect::permanent("/mcp") }))
        .route(
            "/away",
            any(move || async move { Redirect::permanent(&elsewhere) }),
        );
    let base = serve(routes).await;
    let words = |path: &str| format!("{base}/{path}");
    let about = skydock(&["call", &words("moved"), "--header", "X-Kitchen: hot", "about"])
        .await
        .ended(0)
        .json();
    assert_eq!(about["kitchen"], "hot");
    let ran = skydock(&["call", &words("away"), "--header", "X-Kitchen: hot"])
        .await
        .ended(1);
    assert!(ran.stderr.contains("308"), "{ran:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}
