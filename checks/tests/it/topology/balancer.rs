//! The balancer treats instances as an Application Load Balancer does.

use std::{collections::BTreeMap, path::Path, time::Duration};

use checks::{
    balancer::{self, Affinity, Order, Settings, State},
    fleet::{Fleet, Plan},
};
use reqwest::{Client, Response, StatusCode, header::SET_COOKIE};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::wire::{self, Answer, MODERN, PATIENCE};

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
/// Long enough that no test sees the second check.
const BLIND: Duration = Duration::from_secs(3_600);

async fn three(settings: Settings) -> Fleet {
    serving("json", settings).await
}

async fn serving(mode: &str, settings: Settings) -> Fleet {
    let plan = Plan::of(3, Path::new(SERVER)).flags(&["--mode", mode]);
    plan.balancer(settings).start().await.unwrap()
}

/// A client of 2026-07-28 that keeps its connection, and its cookie when it is given one.
struct Caller {
    client: Client,
    url: String,
    cookie: Option<String>,
}

impl Caller {
    fn new(url: String) -> Self {
        Self {
            client: Client::new(),
            url,
            cookie: None,
        }
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        let answer = wire::answer(self.send(tool, arguments).await).await;
        let cookies = answer.headers.get_all(SET_COOKIE).iter();
        let cookie = cookies
            .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
            .find(|cookie| cookie.starts_with("AWSALB="));
        self.cookie = cookie.map(str::to_owned);
        answer
    }

    /// A call whose answer has begun.
    async fn send(&self, tool: &str, arguments: Value) -> Response {
        let params = json!({ "name": tool, "arguments": arguments });
        let mut post = self
            .client
            .post(&self.url)
            .timeout(PATIENCE)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .json(&wire::modern(1, "tools/call", params));
        if let Some(cookie) = &self.cookie {
            post = post.header("cookie", cookie);
        }
        post.send().await.unwrap()
    }

    /// A call that has to succeed: the instance that answered.
    async fn served(&mut self) -> usize {
        let answer = self.call("test_simple_text", json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert!(answer.text().starts_with("This is a simple text"), "{answer:?}");
        balancer::served_by(&answer.headers).expect("an instance answered")
    }

    /// So many calls that have to succeed: how many of them each instance answered.
    async fn spread(&mut self, calls: usize) -> BTreeMap<usize, usize> {
        let mut by = BTreeMap::new();
        for _ in 0..calls {
            *by.entry(self.served().await).or_default() += 1;
        }
        by
    }
}

fn evenly(instances: &[usize], calls: usize) -> BTreeMap<usize, usize> {
    instances.iter().map(|instance| (*instance, calls)).collect()
}

#[tokio::test]
async fn each_request_of_a_connection_goes_to_the_next_instance() {
    let mut fleet = three(Settings::default()).await;
    let mut caller = Caller::new(fleet.mcp());
    assert_eq!(caller.spread(30).await, evenly(&[0, 1, 2], 10));
    for number in 0..3 {
        let target = fleet.balancer().target(number).await.unwrap();
        assert_eq!((target.state, target.served), (State::Up, 10));
        // and each can be reached alone
        let mut alone = Caller::new(fleet.instance(number).unwrap().mcp());
        let answer = alone.call("test_simple_text", json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(balancer::served_by(&answer.headers), None);
    }
    let ended = fleet.stop().await.unwrap();
    assert!(
        ended.len() == 3 && ended.iter().all(|status| status.success()),
        "{ended:?}"
    );
}

#[tokio::test]
async fn nothing_fails_after_the_health_check_has_found_a_dead_instance() {
    let mut fleet = three(Settings::default()).await;
    let mut caller = Caller::new(fleet.mcp());
    fleet.kill(1).await.unwrap();
    fleet.balancer().until(1, State::Down).await.unwrap();
    assert_eq!(caller.spread(20).await, evenly(&[0, 2], 10));
    fleet.replace(1).await.unwrap();
    assert_eq!(caller.spread(30).await, evenly(&[0, 1, 2], 10));
    // one that ends in order is out before it stops listening
    assert!(fleet.end(2, PATIENCE).await.unwrap().success());
    fleet.balancer().until(2, State::Down).await.unwrap();
    assert_eq!(caller.spread(20).await, evenly(&[0, 1], 10));
    assert_eq!(fleet.stop().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_refused_connection_is_a_bad_gateway() {
    let settings = Settings {
        checks: Some(BLIND),
        ..Settings::default()
    };
    let mut fleet = three(settings).await;
    fleet.kill(1).await.unwrap();
    let mut caller = Caller::new(fleet.mcp());
    let mut failed = 0;
    for _ in 0..6 {
        let answer = caller.call("test_simple_text", json!({})).await;
        if balancer::served_by(&answer.headers) == Some(1) {
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");
            failed += 1;
        } else {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
    }
    assert_eq!(failed, 2);
}

#[tokio::test]
async fn a_refused_connection_goes_elsewhere_where_that_is_wanted() {
    let settings = Settings {
        checks: Some(BLIND),
        redispatch: true,
        ..Settings::default()
    };
    let mut fleet = three(settings).await;
    fleet.kill(1).await.unwrap();
    let by = Caller::new(fleet.mcp()).spread(12).await;
    assert_eq!(by.keys().copied().collect::<Vec<_>>(), [0, 2], "{by:?}");
}

#[tokio::test]
async fn a_deregistered_instance_finishes_what_it_has() {
    let fleet = three(Settings::default()).await;
    let mut caller = Caller::new(fleet.mcp());
    let mut patient = Caller::new(fleet.mcp());
    let slow = tokio::spawn(async move { patient.call("sleep", json!({ "seconds": 1.5 })).await });
    let busy = busy(&fleet).await;
    fleet.balancer().order(busy, Order::Deregister).await.unwrap();
    let others: Vec<usize> = (0..3).filter(|number| *number != busy).collect();
    assert_eq!(caller.spread(20).await, evenly(&others, 10));
    let target = fleet.balancer().target(busy).await.unwrap();
    assert_eq!((target.state, target.open), (State::Deregistered, 1));
    let answer = slow.await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(balancer::served_by(&answer.headers), Some(busy));
    fleet.balancer().order(busy, Order::Ready).await.unwrap();
    fleet.balancer().until(busy, State::Up).await.unwrap();
    assert_eq!(caller.spread(30).await, evenly(&[0, 1, 2], 10));
}

#[tokio::test]
async fn a_cookie_keeps_a_client_at_its_instance_as_long_as_that_is_healthy() {
    let settings = Settings {
        affinity: Affinity::Cookie,
        ..Settings::default()
    };
    let mut fleet = three(settings).await;
    let mut caller = Caller::new(fleet.mcp());
    let first = caller.served().await;
    assert_eq!(caller.cookie.as_deref(), Some(&*format!("AWSALB={first}")));
    assert_eq!(caller.spread(10).await, evenly(&[first], 10));
    // who has no cookie goes to the next
    let strangers = strangers(&fleet).await;
    assert_eq!(strangers.len(), 3, "{strangers:?}");
    // while it drains, it keeps whom it has
    fleet.balancer().order(first, Order::Drain).await.unwrap();
    fleet.balancer().until(first, State::Draining).await.unwrap();
    assert_eq!(caller.spread(10).await, evenly(&[first], 10));
    assert!(!self::strangers(&fleet).await.contains_key(&first));
    // once it is deregistered, it has nobody
    fleet.balancer().order(first, Order::Deregister).await.unwrap();
    let second = caller.served().await;
    assert_ne!(second, first);
    assert_eq!(caller.spread(10).await, evenly(&[second], 10));
    fleet.kill(second).await.unwrap();
    fleet.balancer().until(second, State::Down).await.unwrap();
    let third = caller.served().await;
    assert!(third != second && third != first);
    assert_eq!(caller.cookie.as_deref(), Some(&*format!("AWSALB={third}")));
    assert_eq!(caller.spread(10).await, evenly(&[third], 10));
    // a deregistered one is replaced too
    assert!(fleet.end(first, PATIENCE).await.unwrap().success());
    fleet.replace(first).await.unwrap();
    assert!(self::strangers(&fleet).await.contains_key(&first));
}

#[tokio::test]
async fn who_goes_away_is_gone_for_the_instance_too() {
    let mut fleet = three(Settings::default()).await;
    let mut caller = Caller::new(fleet.mcp());
    let endless = tokio::spawn(async move { caller.call("sleep", json!({ "seconds": 60 })).await });
    let busy = busy(&fleet).await;
    endless.abort();
    nobody_sleeps(&mut fleet, busy).await;
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_and_ends_when_its_reader_goes() {
    let mut fleet = serving("stateless", Settings::default()).await;
    let caller = Caller::new(fleet.mcp());
    // the call is far from its end when the answer begins
    let stream = caller.send("sleep", json!({ "seconds": 60 })).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let busy = balancer::served_by(stream.headers()).expect("an instance answers");
    assert_eq!(fleet.balancer().target(busy).await.unwrap().open, 1);
    drop(stream);
    nobody_sleeps(&mut fleet, busy).await;
}

/// Waits until an instance has no call of `sleep` and the balancer no request there.
async fn nobody_sleeps(fleet: &mut Fleet, number: usize) {
    let mut alone = Caller::new(fleet.instance(number).unwrap().mcp());
    let gone = async { while alone.call("sleepers", json!({})).await.text() != "0" {} };
    timeout(PATIENCE, gone).await.expect("the call is cancelled");
    let target = fleet.balancer().target(number).await.unwrap();
    assert_eq!(target.open, 0);
}

#[tokio::test]
async fn a_silent_connection_is_cut_where_that_is_wanted() {
    let settings = Settings {
        idle: Some(Duration::from_millis(500)),
        ..Settings::default()
    };
    let fleet = three(settings).await;
    let mut caller = Caller::new(fleet.mcp());
    let answer = caller.call("sleep", json!({ "seconds": 5 })).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{answer:?}");
}

/// The first instance that has a request.
async fn busy(fleet: &Fleet) -> usize {
    let found = async {
        loop {
            for number in 0..3 {
                if fleet.balancer().target(number).await.unwrap().open > 0 {
                    return number;
                }
            }
        }
    };
    timeout(PATIENCE, found).await.expect("a request is on its way")
}

/// Where nine clients without a cookie get to.
async fn strangers(fleet: &Fleet) -> BTreeMap<usize, usize> {
    let mut by = BTreeMap::new();
    for _ in 0..9 {
        *by.entry(Caller::new(fleet.mcp()).served().await).or_default() += 1;
    }
    by
}
