//! The real program is killed at every step of a change, and started again: no function is left in between.
//!
//! The program reaches the embedded account over a socket. At the N-th call the account kills it, before the call has any
//! effect or after it, before the answer. Between two calls nothing leaves the program but lines of its journal, each on
//! disk before the next call, so these are all the moments that differ.

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use futures::{StreamExt, stream};
use lambda_ops::embedded::{Embedded, REGION};
use rmcp::{RoleClient, ServiceExt, model::CallToolRequestParams, service::RunningService};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

use crate::{bench::BRISK, permissions};

/// No procedure makes as many calls.
const MOST_CALLS: usize = 60;
/// They mostly wait for the program's own pauses.
const AT_ONCE: usize = 12;

/// When the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The call has no effect.
    Before,
    /// The call has its effect, and the answer never arrives.
    After,
}

const MOMENTS: [Moment; 2] = [Moment::Before, Moment::After];

/// At which call the program dies, counted from one.
#[derive(Debug, Clone, Copy)]
struct Death {
    at: usize,
    moment: Moment,
}

/// A change to be killed in.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    function: &'static str,
    from: &'static str,
    to: &'static str,
    older: bool,
    /// How it ends when nobody is killed.
    end: &'static str,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        function: "orders-api",
        from: "nodejs20.x",
        to: "nodejs24.x",
        older: false,
        end: "updated",
    },
    Scenario {
        function: "thumbnail-maker",
        from: "nodejs18.x",
        to: "nodejs24.x",
        older: false,
        end: "rolled-back",
    },
    Scenario {
        function: "thumbnail-maker",
        from: "nodejs18.x",
        to: "nodejs24.x",
        older: true,
        end: "updated",
    },
];

/// The account behind a socket, and the program that it kills.
struct Scaffold {
    account: Embedded,
    death: Mutex<Option<Death>>,
    calls: AtomicUsize,
    victim: Mutex<Option<Child>>,
}

impl Scaffold {
    async fn raise() -> (Arc<Self>, String) {
        let account = Embedded::new(1);
        account.set_pace(BRISK);
        let scaffold = Arc::new(Self {
            account,
            death: Mutex::new(None),
            calls: AtomicUsize::new(0),
            victim: Mutex::new(None),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has one");
        let door = Router::new().fallback(answer).with_state(Arc::clone(&scaffold));
        tokio::spawn(async move { axum::serve(listener, door).await });
        (scaffold, format!("http://{address}"))
    }

    /// From now on calls are counted, and the program dies as said.
    fn arm(&self, death: Option<Death>) {
        self.calls.store(0, Ordering::SeqCst);
        *self.death.lock().unwrap() = death;
    }

    fn kill(&self) {
        let mut victim = self.victim.lock().unwrap();
        victim
            .as_mut()
            .expect("the program runs")
            .start_kill()
            .expect("it is ours");
    }

    /// The function as AWS shows it, without what moves with each published version.
    async fn function(&self, name: &str) -> Value {
        let now = self.account.client().get_function_configuration();
        let now = now
            .function_name(name)
            .send()
            .await
            .expect("the function is there");
        let status = now.last_update_status().map(|status| status.as_str().to_owned());
        json!({
            "runtime": now.runtime().map(|runtime| runtime.as_str().to_owned()),
            "update": status,
            "handler": now.handler(), "role": now.role(), "memory": now.memory_size(), "timeout": now.timeout(),
            "layers": now.layers().iter().map(|layer| layer.arn()).collect::<Vec<_>>(),
            "environment": now.environment().and_then(|environment| environment.variables()).map(|all| format!("{all:?}").len()),
            "code": now.code_sha256(), "description": now.description(),
        })
    }
}

async fn answer(State(scaffold): State<Arc<Scaffold>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("the whole body");
    let number = scaffold.calls.fetch_add(1, Ordering::SeqCst) + 1;
    let death = *scaffold.death.lock().unwrap();
    let deadly = death.filter(|death| death.at == number);
    if deadly.is_some_and(|death| death.moment == Moment::Before) {
        scaffold.kill();
        return std::future::pending().await;
    }
    let request = http::Request::from_parts(head, body.to_vec());
    let answered = scaffold.account.answer(request).await;
    if deadly.is_some() {
        scaffold.kill();
        return std::future::pending().await;
    }
    answered.map(Body::from)
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("killing-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the target directory can be written");
        Self(path)
    }

    /// The last line of each entry of the journal.
    fn ends(&self) -> Vec<Value> {
        let entries = std::fs::read_dir(&self.0).expect("it is there");
        let entries = entries.map(|entry| entry.expect("it can be read").path());
        entries
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .map(|path| std::fs::read_to_string(path).expect("UTF-8"))
            .map(|text| serde_json::from_str(text.lines().last().expect("a line")).expect("JSON"))
            .collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

type Client = RunningService<RoleClient, ()>;

/// Starts the program on its journal; none if it dies before it has answered, as it recovers from its first moment on.
async fn try_start(scaffold: &Scaffold, url: &str, journal: &Path) -> Option<Client> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lambda-ops"))
        .args(["--allow", "invoke", "--allow", "write", "--runtimes-page", "off"])
        .arg("--journal")
        .arg(journal)
        .env_clear()
        .envs([("AWS_ENDPOINT_URL", url), ("AWS_REGION", REGION)])
        .envs([
            ("AWS_ACCESS_KEY_ID", "socket"),
            ("AWS_SECRET_ACCESS_KEY", "socket"),
        ])
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let pipes = (
        child.stdout.take().expect("piped"),
        child.stdin.take().expect("piped"),
    );
    *scaffold.victim.lock().unwrap() = Some(child);
    ().serve(pipes).await.ok()
}

/// Starts the program on its journal.
async fn start(scaffold: &Scaffold, url: &str, journal: &Path) -> Client {
    try_start(scaffold, url, journal).await.expect("it speaks MCP")
}

/// The structured content of an answer; none if the program died over it.
async fn call(client: &Client, tool: &'static str, arguments: Value) -> Option<Value> {
    let arguments = serde_json::from_value(arguments).expect("an object");
    let asked = CallToolRequestParams::new(tool).with_arguments(arguments);
    let answered = client.call_tool(asked).await.ok()?;
    Some(
        answered
            .structured_content
            .unwrap_or_else(|| panic!("{tool}: {:?}", answered.content)),
    )
}

/// Waits for the program's end; true if it was killed.
async fn end(scaffold: &Scaffold, client: Client) -> bool {
    client.cancel().await.ok();
    ended(scaffold).await
}

async fn ended(scaffold: &Scaffold) -> bool {
    let victim = scaffold.victim.lock().unwrap().take();
    let ended = victim.expect("it was started").wait().await;
    ended.expect("it has ended").signal().is_some()
}

/// What became of one run.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    /// It ended before its death.
    Survived(String),
    Killed,
}

/// Makes the change, with the plan's token as a client that cannot be asked, up to its death or its end.
async fn change(scaffold: &Scaffold, client: &Client, scenario: Scenario, death: Option<Death>) -> Run {
    let mut arguments =
        json!({ "functionName": scenario.function, "runtime": scenario.to, "testEvent": "{}" });
    arguments["tryOlder"] = json!(scenario.older);
    let mut first = arguments.clone();
    first["dryRun"] = json!(true);
    let planned = call(client, "update-function-runtime", first)
        .await
        .expect("nobody is killed yet");
    arguments["planToken"] = planned["planToken"].clone();
    scaffold.arm(death);
    match call(client, "update-function-runtime", arguments).await {
        Some(report) => Run::Survived(report["outcome"].as_str().expect("an outcome").to_owned()),
        None => Run::Killed,
    }
}

fn steps_of(report: &Value) -> impl Iterator<Item = &Value> {
    report["steps"].as_array().expect("steps").iter()
}

/// Holds the function against what the recovery says of it.
async fn examine(scaffold: &Scaffold, scenario: Scenario, before: &Value, recovered: &[Value], case: &str) {
    let now = scaffold.function(scenario.function).await;
    let outcome = match recovered {
        [] => "unchanged",
        [one] => one["outcome"].as_str().expect("an outcome"),
        more => panic!(
            "{case}: one change was begun, and {} are recovered: {more:?}",
            more.len()
        ),
    };
    if matches!(outcome, "unchanged" | "rolled-back") {
        assert_eq!(
            now, *before,
            "{case}: {outcome}, but it is not as before: {recovered:?}"
        );
        return;
    }
    assert_eq!(outcome, "updated", "{case}: {recovered:?}");
    assert_eq!(now["update"], "Successful", "{case}");
    assert_eq!(now["runtime"], recovered[0]["runtime"], "{case}: {recovered:?}");
    assert_ne!(now["runtime"], scenario.from, "{case}");
    let done =
        |phase: &str| steps_of(&recovered[0]).any(|step| step["step"] == phase && step["status"] == "done");
    // the test is never run twice, so the journal may be what knows that it passed
    let known = steps_of(&recovered[0]).any(|step| {
        step["step"] == "recover"
            && step["detail"]
                .as_str()
                .is_some_and(|text| text.contains("had passed its test"))
    });
    assert!(
        known || (done("dry-run") && done("test")),
        "{case}: updated, but not validated: {recovered:?}"
    );
}

/// Asks the program what it has recovered, once it has.
async fn recover(client: &Client) -> Option<Vec<Value>> {
    let answered = call(client, "recover-updates", json!({})).await?;
    Some(answered["recovered"].as_array().expect("a list").clone())
}

/// Kills a change once and recovers from it; true if the change came to its death.
async fn killed_once(scenario: Scenario, death: Death) -> bool {
    let case = format!("{scenario:?} {death:?}");
    let (scaffold, url) = Scaffold::raise().await;
    let journal = Directory::new(&format!(
        "{}-{}-{}-{:?}",
        scenario.function, scenario.older, death.at, death.moment
    ));
    let before = scaffold.function(scenario.function).await;
    let client = start(&scaffold, &url, &journal.0).await;
    let run = change(&scaffold, &client, scenario, Some(death)).await;
    let killed = end(&scaffold, client).await;
    assert_eq!(killed, run == Run::Killed, "{case}: {run:?}");
    if let Run::Survived(outcome) = run {
        assert_eq!(outcome, scenario.end, "{case}");
        return false;
    }
    scaffold.arm(None);
    let client = start(&scaffold, &url, &journal.0).await;
    let recovered = recover(&client).await.expect("nobody is killed");
    examine(&scaffold, scenario, &before, &recovered, &case).await;
    for end in journal.ends() {
        assert_eq!(
            end["event"], "closed",
            "{case}: the journal does not say how it ended"
        );
        assert_eq!(end["outcome"], recovered[0]["outcome"], "{case}");
    }
    assert_eq!(
        recover(&client).await,
        Some(Vec::new()),
        "{case}: recovered twice"
    );
    permissions::assert_within_the_policies(&scaffold.account);
    end(&scaffold, client).await;
    true
}

/// All deaths of a scenario, until one is later than its end. Gives how many there were.
async fn kill_at_every_step(scenario: Scenario) -> usize {
    let deaths = (1..=MOST_CALLS).flat_map(|at| MOMENTS.map(|moment| Death { at, moment }));
    let runs = stream::iter(deaths).map(|death| killed_once(scenario, death));
    let mut runs = std::pin::pin!(runs.buffered(AT_ONCE));
    let mut kills = 0;
    while let Some(died) = runs.next().await {
        if !died {
            return kills;
        }
        kills += 1;
    }
    panic!("{scenario:?} makes more than {MOST_CALLS} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_no_function_is_left_in_between() {
    let mut kills = 0;
    for scenario in SCENARIOS {
        let here = kill_at_every_step(scenario).await;
        assert!(here > 20, "{scenario:?} was killed only {here} times");
        kills += here;
    }
    println!("{kills} kills, 0 functions left in between");
}

/// Kills a change in the middle, then its recovery, then recovers; true if the recovery came to its death.
async fn killed_twice(scenario: Scenario, first: Death, second: Death) -> bool {
    let case = format!("{scenario:?} {first:?} and then {second:?}");
    let (scaffold, url) = Scaffold::raise().await;
    let journal = Directory::new(&format!(
        "{}-{}-{:?}-{}-{:?}",
        scenario.function, first.at, first.moment, second.at, second.moment
    ));
    let before = scaffold.function(scenario.function).await;
    let client = start(&scaffold, &url, &journal.0).await;
    assert_eq!(
        change(&scaffold, &client, scenario, Some(first)).await,
        Run::Killed,
        "{case}"
    );
    end(&scaffold, client).await;
    // armed before it starts, as it recovers by itself
    scaffold.arm(Some(second));
    let (recovered, killed) = match try_start(&scaffold, &url, &journal.0).await {
        Some(client) => (recover(&client).await, end(&scaffold, client).await),
        None => (None, ended(&scaffold).await),
    };
    assert_eq!(killed, recovered.is_none(), "{case}: {recovered:?}");
    if let Some(recovered) = recovered {
        examine(&scaffold, scenario, &before, &recovered, &case).await;
        return false;
    }
    scaffold.arm(None);
    let client = start(&scaffold, &url, &journal.0).await;
    let recovered = recover(&client).await.expect("nobody is killed");
    examine(&scaffold, scenario, &before, &recovered, &case).await;
    end(&scaffold, client).await;
    true
}

/// The call of a change at which a runtime is set, counted as deaths are.
async fn call_of_the_update(scenario: Scenario) -> usize {
    let (scaffold, url) = Scaffold::raise().await;
    let journal = Directory::new(&format!("{}-{}-counted", scenario.function, scenario.older));
    let client = start(&scaffold, &url, &journal.0).await;
    let calls = scaffold.account.calls().len();
    change(&scaffold, &client, scenario, None).await;
    end(&scaffold, client).await;
    let all = scaffold.account.calls();
    let planned = all.len() - scaffold.calls.load(Ordering::SeqCst);
    assert!(planned >= calls, "the plan reads something");
    let update = lambda_ops::embedded::Operation::UpdateFunctionConfiguration;
    let at = all[planned..].iter().position(|call| *call == update);
    at.expect("a runtime is set") + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_is_killed_at_every_step_is_recovered_too() {
    let mut kills = 0;
    for scenario in [SCENARIOS[0], SCENARIOS[1]] {
        let first = Death {
            at: call_of_the_update(scenario).await,
            moment: Moment::After,
        };
        let deaths = (1..=MOST_CALLS).flat_map(|at| MOMENTS.map(|moment| Death { at, moment }));
        let runs = stream::iter(deaths).map(|second| killed_twice(scenario, first, second));
        let mut runs = std::pin::pin!(runs.buffered(AT_ONCE));
        let mut here = 0;
        while runs.next().await.expect("a recovery has an end") {
            here += 1;
        }
        assert!(
            here > 6,
            "{scenario:?}: the recovery was killed only {here} times"
        );
        kills += here;
    }
    println!("{kills} kills of a recovery, 0 functions left in between");
}
