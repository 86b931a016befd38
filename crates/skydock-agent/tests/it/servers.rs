//! Many servers: some are not there, some go and come back, some have tools of one name.

use std::time::Duration;

use rmcp::{ServerHandler, model::ServerConfig};
use skydock::{Config, Host};
use skydock_agent::{
    Event, Outcome, Upstream,
    client::{Local, Setup, Target},
};
use tokio::net::TcpListener;

use crate::{
    puppet::{Puppet, Say, agent, end, max, results, say, words},
    workshop::{Workshop, upstream},
};

#[tokio::test]
async fn a_dead_server_does_not_stop_the_agent() {
    let workshop = Workshop::new();
    let (_server, alive) = workshop.open().await;
    let model = Puppet::new([Say::Calls(vec![("look", "a")]), Say::Words("done")]);
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // it takes connections and says nothing
    let mut silent = upstream(&format!("http://{}/mcp", nowhere.local_addr().unwrap()));
    silent.setup.patience = Duration::from_millis(300);
    let servers = vec![upstream("no-such-program --at all"), silent, alive];
    let agent = agent(&model).with_servers(servers);
    let events = say(&agent, &max(), "go").await;
    assert_eq!(words(&events), "done");
    let notes: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Note { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].contains("no-such-program --at all is not there"),
        "{notes:?}"
    );
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again_in_the_same_conversation() {
    let workshop = Workshop::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Host::new(workshop.clone()).listen(listener).unwrap();
    let url = server.url();
    let model = Puppet::new([
        Say::Calls(vec![("look", "a")]),
        Say::Words("one"),
        Say::Calls(vec![("look", "b")]),
        Say::Words("two"),
        Say::Calls(vec![("look", "c")]),
        Say::Words("three"),
    ]);
    let agent = agent(&model).with_servers(vec![upstream(&url)]);
    say(&agent, &max(), "go").await;
    server.stop().await;
    let events = say(&agent, &max(), "go").await;
    assert!(results(&events)[0].2, "it is gone: {events:?}");
    assert_eq!(words(&events), "two");
    let listener = TcpListener::bind(address).await.unwrap();
    let _server = Host::new(workshop.clone()).listen(listener).unwrap();
    // its tools are offered again as soon as it has been found, which is tried every few seconds
    let back = async {
        while agent.tools(&max()).await.unwrap().0.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.unwrap();
    let events = say(&agent, &max(), "go").await;
    assert_eq!(results(&events)[0].1, "{\"what\":\"c\"}");
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_opened_again() {
    let workshop = Workshop::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Host::new(workshop.clone()).listen(listener).unwrap();
    let mut old = upstream(&server.url());
    old.setup.era = "2025-06-18".parse().unwrap();
    let calls = || Say::Calls(vec![("look", "a"), ("set", "b")]);
    let model = Puppet::new([calls(), Say::Words("one"), calls(), Say::Words("two")]);
    let agent = agent(&model).with_servers(vec![old]);
    say(&agent, &max(), "go").await;
    server.stop().await;
    let listener = TcpListener::bind(address).await.unwrap();
    let _server = Host::new(workshop.clone()).listen(listener).unwrap();
    let events = say(&agent, &max(), "go").await;
    assert!(results(&events).iter().all(|result| !result.2), "{events:?}");
}

#[tokio::test]
async fn tools_of_one_name_need_a_name_for_their_server() {
    let (one, two) = (Workshop::new(), Workshop::new());
    let ((_a, first), (_b, second)) = (one.open().await, two.open().await);
    let model = Puppet::new([
        Say::Calls(vec![("look", "a"), ("other__look", "b")]),
        Say::Words("done"),
    ]);
    let agent = agent(&model).with_servers(vec![first.clone(), second.clone()]);
    let events = say(&agent, &max(), "go").await;
    assert_eq!(end(&events).outcome, Outcome::Failed);
    let detail = end(&events).detail.unwrap();
    assert!(
        detail.contains("is offered by") && detail.contains("such as other="),
        "{detail}"
    );
    let named = Upstream {
        prefix: Some("other".to_owned()),
        ..second
    };
    let agent = agent.with_servers(vec![first, named]);
    let events = say(&agent, &skydock_agent::store::Key::new("max", "another"), "go").await;
    assert_eq!(results(&events).len(), 2, "{events:?}");
    assert!(results(&events).iter().all(|result| !result.2), "{events:?}");
}

/// A server with no tools at all.
struct Empty;

impl ServerHandler for Empty {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::default()
    }
}

#[tokio::test]
async fn both_eras_and_a_server_without_tools() {
    let workshop = Workshop::new();
    let (_server, new) = workshop.open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::default();
    let empty = Host::new(Empty).with(config).listen(listener).unwrap();
    let mut old = Upstream {
        prefix: Some("old".to_owned()),
        ..new.clone()
    };
    old.setup.era = "2025-03-26".parse().unwrap();
    let mut none = upstream(&empty.url());
    none.prefix = Some("none".to_owned());
    let model = Puppet::new([
        Say::Calls(vec![("look", "a"), ("old__look", "b")]),
        Say::Words("done"),
    ]);
    let agent = agent(&model).with_servers(vec![new, old, none]);
    let events = say(&agent, &max(), "go").await;
    assert!(results(&events).iter().all(|result| !result.2), "{events:?}");
    let (tools, missing) = agent.tools(&max()).await.unwrap();
    assert_eq!(missing, []);
    assert_eq!(tools.len() % 2, 0);
}

#[tokio::test]
async fn a_server_in_the_same_process_needs_no_address() {
    let workshop = Workshop::new();
    let upstream = Upstream {
        prefix: None,
        target: Target::Local(Local::new("workshop", workshop.clone())),
        setup: Setup::default(),
    };
    let model = Puppet::new([
        Say::Calls(vec![("look", "a"), ("explode", "")]),
        Say::Words("done"),
    ]);
    let agent = agent(&model).with_servers(vec![upstream]);
    let events = say(&agent, &max(), "go").await;
    let results = results(&events);
    assert!(
        results.iter().any(|result| result.1 == "{\"what\":\"a\"}"),
        "{events:?}"
    );
    assert!(results.iter().any(|result| result.2), "{events:?}");
}
