//! Other agents as tools of an MCP server.

use std::{sync::Arc, time::Duration};

use rmcp::{
    RoleClient, ServiceExt as _,
    model::{CallToolRequestParams, CallToolResult, ClientRequest, Request},
    service::{PeerRequestOptions, RunningService},
};
use serde_json::{Value, json};
use skydock_agent::{
    Agent, Upstream,
    a2a::{Assistant, Peer, Peers, Service, protocol::TaskState},
    client::{Setup, Target},
    model::Scripted,
    store,
};
use tokio::net::TcpListener;

use super::instance::{
    Instance, Puppet, alone, becomes, client, limits, lists, memory, says, send, serve, within,
};

type Host = RunningService<RoleClient, ()>;

async fn host(peers: Peers) -> Host {
    let (here, there) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let serving = peers.serve(there).await.unwrap();
        serving.waiting().await.unwrap();
    });
    ().serve(here).await.unwrap()
}

fn peer(instance: &Instance) -> Peer {
    Peer::new("echo", instance.url.parse().unwrap())
}

fn params(arguments: Value) -> CallToolRequestParams {
    let Value::Object(arguments) = arguments else {
        panic!("no object")
    };
    CallToolRequestParams::new("ask-echo").with_arguments(arguments)
}

async fn ask(host: &Host, arguments: Value) -> CallToolResult {
    within(host.call_tool(params(arguments))).await.unwrap()
}

fn words(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}

#[tokio::test]
async fn an_agent_is_a_tool_that_says_what_it_is_for() {
    let (instance, _) = alone().await;
    let gone = Peer::new("gone", "http://127.0.0.1:1".parse().unwrap());
    let host = host(Peers::new([peer(&instance), gone])).await;
    let tools = host.list_all_tools().await.unwrap();
    let names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["ask-echo", "ask-gone"]);
    let description = tools[0].description.as_deref().unwrap();
    assert!(description.contains("Says what it hears."), "{description}");
    assert!(
        tools[0].annotations.as_ref().unwrap().is_destructive(),
        "whoever asks is asked first"
    );
}

#[tokio::test]
async fn what_an_agent_answers_is_text_and_artifacts() {
    let (instance, _) = alone().await;
    let host = host(Peers::new([peer(&instance)])).await;
    let result = ask(&host, json!({"message": "hello"})).await;
    assert_eq!(result.is_error, Some(false));
    assert!(words(&result).starts_with("one two"), "{result:?}");
    let got = result.structured_content.unwrap();
    assert_eq!(got["state"], "TASK_STATE_COMPLETED");
    assert_eq!(got["artifacts"][1]["parts"][0]["data"]["said"], "hello");
    let result = ask(&host, json!({"message": "message"})).await;
    assert_eq!(words(&result), "at once");
}

#[tokio::test]
async fn what_an_agent_needs_is_told_and_given() {
    let (instance, _) = alone().await;
    let host = host(Peers::new([peer(&instance)])).await;
    let asked = ask(&host, json!({"message": "ask"})).await;
    assert!(words(&asked).contains("what else?"), "{asked:?}");
    let got = asked.structured_content.unwrap();
    assert_eq!(got["state"], "TASK_STATE_INPUT_REQUIRED");
    let done = ask(&host, json!({"message": "hello", "taskId": got["taskId"]})).await;
    let done = done.structured_content.unwrap();
    assert_eq!(
        (&done["state"], &done["contextId"]),
        (&json!("TASK_STATE_COMPLETED"), &got["contextId"])
    );
}

#[tokio::test]
async fn what_goes_wrong_is_told_to_the_model() {
    let (instance, _) = alone().await;
    let gone = Peer::new("gone", "http://127.0.0.1:1".parse().unwrap());
    let host = host(Peers::new([peer(&instance), gone])).await;
    for (arguments, part) in [
        (json!({"message": "fail"}), "The agent failed: it broke"),
        (json!({"message": "refuse"}), "does not do this: not here"),
        (json!({}), "message or data is missing"),
        (json!({"text": "hello"}), "unknown field"),
        (json!({"message": "x", "taskId": "none"}), "task not found"),
    ] {
        let result = ask(&host, arguments.clone()).await;
        assert_eq!(result.is_error, Some(true), "{arguments}");
        assert!(words(&result).contains(part), "{arguments}: {result:?}");
    }
    let mut missing = params(json!({"message": "hello"}));
    missing.name = "ask-gone".into();
    let result = within(host.call_tool(missing)).await.unwrap();
    assert_eq!(result.is_error, Some(true));
    assert!(words(&result).contains("agent card"), "{result:?}");
}

#[tokio::test]
async fn an_agent_that_takes_long_is_looked_at_again() {
    let (instance, puppet) = alone().await;
    let impatient = Peer {
        patience: Duration::from_millis(300),
        ..peer(&instance)
    };
    let host = host(Peers::new([impatient])).await;
    let working = ask(&host, json!({"message": "wait"})).await;
    assert!(words(&working).contains("still at it"), "{working:?}");
    let id = working.structured_content.unwrap()["taskId"].clone();
    puppet.open();
    let client = client(&instance.url, "JSONRPC", "nobody").await;
    becomes(&client, id.as_str().unwrap(), TaskState::Completed).await;
    let done = ask(&host, json!({"taskId": id})).await;
    assert_eq!(words(&done), "attempt 1");
}

#[tokio::test]
async fn what_the_host_cancels_the_agent_stops() {
    let (instance, puppet) = alone().await;
    let host = host(Peers::new([peer(&instance)])).await;
    let request = ClientRequest::CallToolRequest(Request::new(params(json!({"message": "wait"}))));
    let handle = host
        .send_cancellable_request(request, PeerRequestOptions::default())
        .await
        .unwrap();
    puppet.started(1).await;
    handle.cancel(None).await.unwrap();
    puppet.ended(1).await;
    let client = client(&instance.url, "JSONRPC", "nobody").await;
    let request = lists();
    let tasks = client.list_tasks(&request).await.unwrap().tasks;
    assert_eq!(tasks[0].status.state, TaskState::Canceled);
}

#[tokio::test]
async fn a_token_goes_to_the_agents_own_origin_only() {
    let elsewhere = alone().await.0;
    let url = elsewhere.url.clone();
    // its card says that it is somewhere else
    let instance = serve(|mut card| {
        for interface in &mut card.supported_interfaces {
            interface.url.clone_from(&url);
        }
        Service::new(card, memory(), Arc::new(Puppet::new())).with_limits(limits())
    })
    .await;
    let trusting = host(Peers::new([peer(&instance)])).await;
    assert_eq!(
        ask(&trusting, json!({"message": "hello"})).await.is_error,
        Some(false)
    );
    let careful = Peer {
        bearer: Some("secret".to_owned()),
        ..peer(&instance)
    };
    let careful = host(Peers::new([careful])).await;
    let result = ask(&careful, json!({"message": "hello"})).await;
    assert_eq!(result.is_error, Some(true));
    assert!(words(&result).contains("the token is not sent"), "{result:?}");
}

/// Both directions: an agent whose tool is another agent, asked by A2A itself.
#[tokio::test]
async fn an_agent_asks_another_one() {
    const SCRIPT: &str = r#"
        name = "front"
        [[scenes]]
        steps = [
            { say = "", call = [{ tool = "ask-echo", input = { message = "{{ message }}" } }] },
            { say = "It said: {{ results['ask-echo'].data.artifacts[1].parts[0].data.said }}" },
        ]
    "#;
    let (back, _) = alone().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}/mcp", listener.local_addr().unwrap());
    let peers = skydock::Host::new(Peers::new([peer(&back)])).router();
    tokio::spawn(async move { axum::serve(listener, peers).await.unwrap() });
    let script = Scripted::parse("test", SCRIPT).unwrap();
    let upstream = Upstream {
        prefix: None,
        target: Target::parse(&target).unwrap(),
        setup: Setup::default(),
    };
    let approvals = skydock_agent::Approvals::new(&["ask-*".to_owned()], &[], &[]).unwrap();
    let agent = Agent::new(Arc::new(script), Arc::new(store::Sqlite::in_memory().unwrap()))
        .with_servers(vec![upstream])
        .with_approvals(approvals);
    let front =
        serve(|card| Service::new(card, memory(), Arc::new(Assistant::new(agent))).with_limits(limits()))
            .await;
    let done = send(&client(&front.url, "JSONRPC", "ada").await, says("hello")).await;
    assert_eq!(done.status.state, TaskState::Completed, "{:?}", done.status);
    let artifacts = done.artifacts.unwrap();
    let text: String = artifacts[0]
        .parts
        .iter()
        .filter_map(|part| part.as_text())
        .collect();
    assert_eq!(text, "It said: hello");
}
