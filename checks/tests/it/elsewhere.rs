//! Our Lambda runtime among things that others wrote: the runtime API of `cargo lambda watch`, and ministack, which
//! deploys a package, gives it a function URL and puts an HTTP API with a JWT authorizer before it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use checks::{program, tools};
use futures::future::join_all;
use reqwest::{Client, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    standins,
    wire::{self, Answer, MODERN, PATIENCE},
};

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
const LEGACY: &str = "2025-11-25";

/// `cargo lambda watch` with two environments of one function, which we start ourselves.
struct Watch {
    emulator: Child,
    environments: Vec<Child>,
    addr: SocketAddr,
}

impl Watch {
    /// As `response` says, the environments answer in one piece or stream.
    async fn start(response: &str) -> Self {
        let mut started = None;
        // another process may take a free port between its choice and its use
        for _ in 0..3 {
            if started.is_none() {
                started = emulator().await;
            }
        }
        let (emulator, addr) = started.expect("cargo lambda watch does not start; its log says why");
        let start = |_| {
            let mut command = program::command(Path::new(SERVER));
            command
                .env("AWS_LAMBDA_RUNTIME_API", format!("http://{addr}/.rt"))
                .env("SKYDOCK_LAMBDA_RESPONSE", response)
                .env("SKYDOCK_STATE_KEY", state_key());
            spawn(command)
        };
        Self {
            emulator,
            environments: (0..2).map(start).collect(),
            addr,
        }
    }

    /// The function that has no name is called `_`.
    fn url(&self) -> String {
        format!("http://{}/lambda-url/_/mcp", self.addr)
    }

    fn door(&self) -> Door {
        Door {
            url: self.url(),
            host: self.addr.to_string(),
            token: None,
        }
    }

    async fn invoke(&self, event: &Value) -> (StatusCode, Value) {
        let url = format!("http://{}/2015-03-31/functions/_/invocations", self.addr);
        let answered = Client::new().post(url).json(event).timeout(PATIENCE).send();
        let answered = answered.await.unwrap();
        (answered.status(), answered.json().await.unwrap())
    }

    /// Ends the environments, which end in order when they are told, and then what invokes them.
    async fn stop(self) {
        for mut child in self.environments.into_iter().chain([self.emulator]) {
            program::terminate(&child).unwrap();
            let ended = program::ended(&mut child, PATIENCE).await.unwrap();
            assert!(ended.success(), "{ended:?}");
        }
    }
}

/// `None` when it ended before it listened.
async fn emulator() -> Option<(Child, SocketAddr)> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    let mut command = program::command(&tools::python("cargo-lambda").unwrap());
    command
        .args(["lambda", "watch", "--only-lambda-apis", "--ignore-changes"])
        .args(["-A", &addr.ip().to_string(), "-P", &addr.port().to_string()])
        // it asks cargo what the package here is
        .current_dir(tools::workspace())
        .env("CARGO_NET_OFFLINE", "true");
    let mut emulator = spawn(command);
    let listens = async {
        // Every path of it waits for a function. So there is no event to wait for: it is another process.
        while TcpStream::connect(addr).await.is_err() {
            if emulator.try_wait().unwrap().is_some() {
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
        true
    };
    let listens = timeout(PATIENCE * 3, listens).await.expect("it listens in time");
    listens.then_some((emulator, addr))
}

fn spawn(mut command: Command) -> Child {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

/// A key that the environments share, so that each can read what another has signed. Any file of 32 bytes is one.
pub(crate) fn state_key() -> PathBuf {
    tools::workspace().join("LICENSE")
}

/// A way to the function: where it is, what it is called there, and what opens it.
struct Door {
    url: String,
    host: String,
    token: Option<String>,
}

impl Door {
    /// A message, as a client of either era sends it.
    fn post(&self, version: &str, body: &Value) -> RequestBuilder {
        let mut post = Client::new()
            .post(&self.url)
            .timeout(PATIENCE)
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", version);
        if let Some(token) = &self.token {
            post = post.bearer_auth(token);
        }
        if version == MODERN {
            post = post.header("mcp-method", body["method"].as_str().unwrap());
            if let Some(name) = body["params"]["name"].as_str() {
                post = post.header("mcp-name", name);
            }
        }
        post.json(body)
    }

    async fn ask(&self, version: &str, method: &str, params: Value) -> Answer {
        let body = match version {
            MODERN => wire::modern(7, method, params),
            _ => wire::request(7, method, params),
        };
        wire::answer(self.post(version, &body).send().await.unwrap()).await
    }

    async fn call(&self, version: &str, tool: &str, arguments: Value) -> Answer {
        let params = json!({"name": tool, "arguments": arguments});
        self.ask(version, "tools/call", params).await
    }

    /// The handshake, a notification, the tools and one of them, in both eras; and a tool that panics.
    async fn serves_both_eras(&self) {
        let hello = self.post(LEGACY, &wire::initialize(LEGACY)).send().await.unwrap();
        let hello = wire::answer(hello).await;
        assert_eq!(hello.body["result"]["protocolVersion"], LEGACY, "{hello:?}");
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let done = self.post(LEGACY, &done).send().await.unwrap();
        assert_eq!(done.status(), StatusCode::ACCEPTED);
        assert_eq!(done.text().await.unwrap(), "");
        for version in [LEGACY, MODERN] {
            let listed = self.ask(version, "tools/list", json!({})).await;
            let tools = listed.body["result"]["tools"].as_array().unwrap();
            assert!(tools.iter().any(|tool| tool["name"] == "greet"), "{listed:?}");
            let greeted = self.call(version, "greet", json!({"name": version})).await;
            assert_eq!(greeted.text(), format!("Hello, {version}!"), "{greeted:?}");
            let kind = (version == MODERN).then(|| json!("complete"));
            assert_eq!(greeted.body["result"].get("resultType"), kind.as_ref());
            let panicked = self.call(version, "panic", json!({})).await;
            assert_eq!(panicked.body["id"], 7, "{panicked:?}");
            assert!(
                panicked.error_code().is_some() || panicked.body["result"]["isError"] == true,
                "{panicked:?}"
            );
        }
    }

    /// What came of a tool that tells its progress: the pieces, and the time from the first to the last.
    async fn progress(&self) -> (Vec<String>, Duration) {
        let params = json!({"name": "test_tool_with_progress", "_meta": {"progressToken": "p"}});
        let body = wire::request(7, "tools/call", params);
        let mut answered = self.post(LEGACY, &body).send().await.unwrap();
        assert_eq!(answered.headers()["content-type"], "text/event-stream");
        let (mut pieces, mut first) = (Vec::new(), None);
        while let Some(piece) = answered.chunk().await.unwrap() {
            first.get_or_insert_with(Instant::now);
            pieces.push(String::from_utf8(piece.to_vec()).unwrap());
        }
        let whole = pieces.concat();
        let wanted = [
            "\"progress\":0.0",
            "\"progress\":50.0",
            "\"progress\":100.0",
            "Done: 100 of 100.",
        ];
        let places = wanted.map(|what| whole.find(what).unwrap_or_else(|| panic!("no {what}: {whole}")));
        assert!(places.is_sorted(), "{whole}");
        (pieces, first.unwrap().elapsed())
    }
}

/// `cargo lambda watch` 1.9.2. Not to be had there: a deadline that is one (it writes the time limit in its place), a
/// freeze between invocations, SIGTERM and the events of an extension, doors other than a function URL. Its answer to
/// a client that keeps its connection ends some 40 ms late when it is streamed: it waits there for the client's
/// acknowledgement, when all of it has been taken from us in one write.
mod cargo_lambda {
    use super::*;

    #[tokio::test]
    async fn a_function_answers_in_one_piece() {
        let watch = Watch::start("buffered").await;
        let (pieces, _) = watch.door().progress().await;
        assert_eq!(pieces.len(), 1, "{pieces:?}");
        serves(watch).await;
    }

    #[tokio::test]
    async fn a_function_streams() {
        let watch = Watch::start("streamed").await;
        let (pieces, between) = watch.door().progress().await;
        assert!(pieces.len() > 1 && !pieces[0].contains("Done"), "{pieces:?}");
        // the tool takes 150 ms from the first word to the last
        assert!(
            between > Duration::from_millis(50),
            "{between:?} for {} pieces",
            pieces.len()
        );
        serves(watch).await;
    }

    /// All that is the same in both modes.
    async fn serves(watch: Watch) {
        watch.door().serves_both_eras().await;
        both_environments_work(&watch.door()).await;
        messages_are_answered(&watch).await;
        watch.stop().await;
    }

    /// Six calls of half a second: one environment, which takes one at a time, would need three seconds.
    async fn both_environments_work(door: &Door) {
        let began = Instant::now();
        let calls = (0..6).map(|_| door.call(LEGACY, "sleep", json!({"seconds": 0.5})));
        for slept in join_all(calls).await {
            assert_eq!(slept.text(), "Slept 0.5 s.", "{slept:?}");
        }
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(1_500),
            "{took:?}: one took two at a time"
        );
        assert!(took < Duration::from_secs(3), "{took:?}: one did it all");
    }

    /// `Invoke` brings a message, or something that is none.
    async fn messages_are_answered(watch: &Watch) {
        let params = || json!({"name": "greet", "arguments": {"name": "Lambda"}});
        let messages = [
            wire::request(8, "tools/call", params()),
            wire::modern(8, "tools/call", params()),
        ];
        for message in messages {
            let (status, answer) = watch.invoke(&message).await;
            assert_eq!((status, &answer["id"]), (StatusCode::OK, &json!(8)), "{answer}");
            assert_eq!(answer["result"]["content"][0]["text"], "Hello, Lambda!");
        }
        // AWS says 200 and X-Amz-Function-Error; the function's own words are the same
        let (status, failed) = watch.invoke(&json!({"neither": "event nor message"})).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(failed["errorType"], "Skydock.UnknownEvent");
    }
}

/// The official suite through `cargo lambda watch`, with the bars of a function URL of our own. It hands its calls to
/// the two environments in turn, so whatever needs a second call needs what the environments share.
mod suite {
    use checks::{baseline::Baseline, suite::Subject};

    use super::*;
    use crate::conformance;

    async fn suite(response: &str, revision: &str, bar: usize) {
        let watch = Watch::start(response).await;
        let name = format!("cargo-lambda-{response}");
        let report = conformance::grade(Subject::Server(watch.url()), &name, revision).await;
        let baseline: Baseline = conformance::baseline();
        let expected = baseline.server("json", revision);
        conformance::hold_server(&report, &expected, &baseline.unscored(&["lambda"]), bar);
        watch.stop().await;
    }

    #[tokio::test]
    async fn buffered_passes_2025_11_25() {
        suite("buffered", LEGACY, 25).await;
    }

    #[tokio::test]
    async fn buffered_passes_2026_07_28() {
        suite("buffered", MODERN, 37).await;
    }

    #[tokio::test]
    async fn streamed_passes_2025_11_25() {
        suite("streamed", LEGACY, 25).await;
    }

    #[tokio::test]
    async fn streamed_passes_2026_07_28() {
        suite("streamed", MODERN, 37).await;
    }
}

/// Deploys the server to ministack 1.5.33 as a package, and calls it by each of its names. Not to be had there: pieces
/// of a stream (it collects them, and shows that the head before them is read right), an extension (404, which costs
/// no more than a warning), a challenge in the authorizer's 401.
#[tokio::test]
async fn a_package_serves_behind_a_function_url_and_an_authorizer() {
    const HOME: &str = "ministack-elsewhere";
    // it unpacks what is deployed, in a new folder each time
    let _none = std::fs::remove_dir_all(tools::workspace().join("target/tools").join(HOME));
    let aws = standins::start_ministack(HOME).await;
    let deployed = deploy(&aws.url("")).await;
    eprintln!("bytes of the package: {}", deployed["sizes"]);
    let text = |key: &str| deployed[key].as_str().unwrap().to_owned();
    let door = |host: String, token: Option<String>| Door {
        url: aws.mcp(),
        host,
        token,
    };
    for url in ["functionUrl", "streamedUrl"] {
        let host = text(url).split('/').nth(2).unwrap().to_owned();
        let door = door(host, None);
        door.serves_both_eras().await;
        door.progress().await;
    }
    let api = |token: Option<String>| door(text("apiHost"), token);
    api(Some(text("token"))).serves_both_eras().await;
    api(Some(text("token"))).progress().await;
    // what was granted for one thing, under the signature of another
    let (granted, signed) = (text("token"), text("unscoped"));
    let forged = format!(
        "{}.{}",
        granted.rsplit_once('.').unwrap().0,
        signed.rsplit_once('.').unwrap().1
    );
    for (token, status) in [
        (None, 401),
        (Some("garbage".to_owned()), 401),
        (Some(forged), 401),
        (Some(signed), 403),
    ] {
        let refused = api(token.clone()).ask(LEGACY, "tools/list", json!({})).await;
        assert_eq!(refused.status, status, "{token:?}: {refused:?}");
        assert_eq!(refused.body.get("jsonrpc"), None, "the function did not see it");
    }
    // its functions end with it
    assert!(aws.stop().await.unwrap().success());
}

/// What the deployment is reached by.
async fn deploy(endpoint: &str) -> Value {
    let ran = Command::new(tools::python("python").unwrap())
        .arg(tools::workspace().join("checks/tools/deploy.py"))
        .args([endpoint, SERVER])
        .arg(state_key())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ran = ran.await.unwrap();
    let log = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{log}");
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {log}"))
}
