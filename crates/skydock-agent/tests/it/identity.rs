//! In whose name servers are called: two users of one agent, and a server that checks their tokens.

use std::sync::{Arc, Mutex};

use rmcp::{
    RoleServer, ServerHandler,
    handler::server::router::tool::ToolRouter,
    model::{ServerCapabilities, ServerConfig},
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use skydock::{Auth, Config, Host, Listening, Principal};
use skydock_agent::{
    Agent, Event, Input, Upstream,
    client::{Setup, Target},
    identity::{FileKey, Identity, Keys},
    model::Scripted,
    store::{Key, Sqlite},
};
use tokio::net::TcpListener;

const SCRIPT: &str = r#"
name = "test"
[[scenes]]
[[scenes.steps]]
call = [{ tool = "who" }]
[[scenes.steps]]
say = "{{ results.who.text }}"
"#;

/// Says who calls, and remembers it.
#[derive(Clone)]
struct Desk {
    seen: Arc<Mutex<Vec<String>>>,
    tools: ToolRouter<Self>,
}

#[tool_router]
impl Desk {
    #[tool(description = "tells who calls", annotations(read_only_hint = true))]
    async fn who(&self, context: RequestContext<RoleServer>) -> String {
        let parts = context.extensions.get::<http::request::Parts>().unwrap();
        let principal = parts.extensions.get::<Principal>().unwrap();
        self.seen.lock().unwrap().push(principal.as_str().to_owned());
        format!("you are {}", principal.subject())
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Desk {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

struct Scene {
    server: Listening,
    seen: Arc<Mutex<Vec<String>>>,
}

/// A server that trusts `keys` of the issuer `agent`, for tokens that are for it or for `audience`.
async fn server(keys: &Keys, audience: Option<&str>) -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let audience = audience.unwrap_or(&url).to_owned();
    let set = serde_json::to_string(&keys.jwks()).unwrap();
    let mut config = Config::default();
    config.auth = Some(Auth::from_keys("agent", vec![audience], &set).unwrap());
    let seen = Arc::default();
    let desk = Desk {
        seen: Arc::clone(&seen),
        tools: Desk::tool_router(),
    };
    let server = Host::new(desk).with(config).listen(listener).unwrap();
    Scene { server, seen }
}

fn agent(url: &str) -> Agent {
    let upstream = Upstream {
        prefix: None,
        target: Target::parse(url).unwrap(),
        setup: Setup::default(),
    };
    let model = Scripted::parse("the test", SCRIPT).unwrap();
    Agent::new(Arc::new(model), Arc::new(Sqlite::in_memory().unwrap())).with_servers(vec![upstream])
}

fn keys() -> Keys {
    Keys::new(Arc::new(FileKey::generate().unwrap()))
}

/// What the agent says to a user, and what there is to note.
async fn say(agent: &Agent, user: &str) -> (String, String) {
    let key = Key::new(user, "talk");
    let mut turn = agent
        .turn(&key, Input::Say("who am I?".to_owned()), None)
        .await
        .unwrap();
    let (mut text, mut notes) = (String::new(), String::new());
    while let Some(event) = turn.next().await {
        match event {
            Event::Text { text: more } => text.push_str(&more),
            Event::Note { text: note } => notes.push_str(&note),
            _ => {}
        }
    }
    (text, notes)
}

#[tokio::test]
async fn each_user_comes_to_the_server_in_their_own_name() {
    let keys = keys();
    let Scene { mut server, seen } = server(&keys, None).await;
    let agent = agent(&format!("{}?tenant=1", server.url())).with_identity(Identity::new("agent", keys));
    let (max, alice) = tokio::join!(say(&agent, "Max"), say(&agent, "Alice"));
    assert_eq!(
        (max.0.as_str(), alice.0.as_str()),
        ("you are Max", "you are Alice"),
        "{max:?} {alice:?}"
    );
    // the connections of both are kept, and so are their names
    assert_eq!(say(&agent, "Max").await.0, "you are Max");
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["token agent Alice", "token agent Max", "token agent Max"]);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_know_the_key_or_is_another_one_is_not_there() {
    let mine = keys();
    for (known, audience) in [(keys(), None), (mine.clone(), Some("https://other.example/mcp"))] {
        let Scene { mut server, seen } = server(&known, audience).await;
        let agent = agent(&server.url()).with_identity(Identity::new("agent", mine.clone()));
        let (_, notes) = say(&agent, "Max").await;
        assert!(notes.contains("does not accept the agent's token"), "{notes}");
        assert!(notes.contains("--auth-audience"), "{notes}");
        assert!(seen.lock().unwrap().is_empty());
        server.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_has_a_token_of_its_own_does_not_get_the_users() {
    let keys = keys();
    let Scene { mut server, seen } = server(&keys, None).await;
    let url = server.url();
    let theirs = Identity::new("agent", keys.clone());
    let token = theirs
        .token(&"machine".into(), &url.parse().unwrap())
        .await
        .unwrap();
    let upstream = Upstream {
        prefix: None,
        target: Target::parse(&url).unwrap(),
        setup: Setup {
            bearer: Some(token),
            ..Setup::default()
        },
    };
    let agent = agent(&url)
        .with_servers(vec![upstream])
        .with_identity(Identity::new("agent", keys));
    assert_eq!(say(&agent, "Max").await.0, "you are machine");
    assert_eq!(seen.lock().unwrap().len(), 1);
    server.stop().await;
}
