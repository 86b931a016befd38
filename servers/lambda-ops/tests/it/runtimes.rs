//! `get-runtime-info`: from the snapshot, from the page in each of its shapes, and when the page is of no use.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use lambda_ops::{Clock, LambdaOps, embedded::Embedded, runtimes::Runtimes};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::bench::{Client, account, server};

/// A web server that answers everything with `status` and `body`, and counts.
struct Site {
    url: String,
    hits: Arc<AtomicUsize>,
}

impl Site {
    async fn with(status: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!(
            "http://{}/lambda-runtimes.md",
            listener.local_addr().expect("an address")
        );
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hits);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _whole_request = stream.read(&mut request).await;
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await.ok();
                stream.write_all(&body).await.ok();
            }
        });
        Self { url, hits }
    }

    async fn client(&self) -> Client {
        let runtimes = Runtimes::page(self.url.parse().expect("a URL")).expect("an HTTP client");
        Client::of(LambdaOps::on(&Embedded::empty(), runtimes).with_clock(day("2026-11-22"))).await
    }
}

fn day(text: &str) -> Clock {
    Clock::Fixed(text.parse().expect("a date"))
}

async fn one(client: &Client, runtime: &str) -> Value {
    client.ok("get-runtime-info", json!({ "runtime": runtime })).await["runtimes"][0].clone()
}

#[tokio::test]
async fn the_snapshot_names_its_day_and_counts_from_today() {
    let client = Client::of(server(&account()).with_clock(day("2026-11-22"))).await;
    let info = client.ok("get-runtime-info", json!({})).await;
    assert_eq!(
        (&info["source"], &info["asOf"], &info["today"]),
        (&json!("snapshot"), &json!("2026-10-20"), &json!("2026-11-22"))
    );
    assert!(info.get("warning").is_none(), "nobody asked for the page");
    assert_eq!(info["runtimes"].as_array().unwrap().len(), 46);
    let node22 = json!({
        "name": "Node.js 22", "id": "nodejs22.x", "os": "Amazon Linux 2023", "deprecationDate": "2027-04-30",
        "blockFunctionCreateDate": "2027-06-01", "blockFunctionUpdateDate": "2027-07-01", "status": "supported",
        "daysLeft": 159, "successor": "nodejs24.x"
    });
    assert_eq!(one(&client, "nodejs22.x").await, node22);
    let statuses = [
        ("nodejs20.x", "deprecated"),
        ("java8", "blocked-create"),
        ("nodejs12.x", "blocked-update"),
    ];
    for (runtime, status) in statuses {
        assert_eq!(one(&client, runtime).await["status"], status, "{runtime}");
    }
    assert_eq!(one(&client, "nodejs12.x").await["daysLeft"], -1332);
}

#[tokio::test]
async fn a_runtime_that_does_not_exist_is_told() {
    let client = Client::of(server(&account())).await;
    let text = client
        .refusal("get-runtime-info", json!({ "runtime": "nodejs99.x" }))
        .await;
    assert!(text.contains("there is no runtime \"nodejs99.x\""), "{text}");
}

#[tokio::test]
async fn both_shapes_of_the_page_are_read_live_and_only_once() {
    for page in [
        include_str!("../pages/pipes.md"),
        include_str!("../pages/other-order.md"),
    ] {
        let site = Site::with("200 OK", page).await;
        let client = site.client().await;
        let (first, second) = tokio::join!(
            client.ok("get-runtime-info", json!({})),
            client.ok("get-runtime-info", json!({}))
        );
        assert_eq!(first, second);
        assert_eq!(first["source"], "live");
        assert_eq!(first["runtimes"].as_array().unwrap().len(), 8);
        assert_eq!(site.hits.load(Ordering::SeqCst), 1, "two calls, one fetch");
        let ruby = one(&client, "ruby3.2").await;
        assert_eq!(
            (&ruby["status"], &ruby["blockFunctionUpdateDate"]),
            (&json!("blocked-update"), &json!("2026-10-01"))
        );
        assert_eq!(one(&client, "provided.al2023").await["daysLeft"], Value::Null);
    }
}

#[tokio::test]
async fn a_page_of_no_use_leaves_the_snapshot_and_a_warning() {
    let other_columns = include_str!("../pages/pipes.md").replace("Block function update", "Update block");
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("404 Not Found", b"gone".to_vec(), "it answered with status 404"),
        (
            "200 OK",
            b"<html>consent</html>".to_vec(),
            "it has changed its form",
        ),
        ("200 OK", other_columns.into_bytes(), "it has changed its form"),
        (
            "200 OK",
            vec![b'x'; 3 * 1024 * 1024],
            "it is larger than 2097152 bytes",
        ),
    ];
    for (status, body, reason) in cases {
        let site = Site::with(status, body).await;
        let client = site.client().await;
        let info = client.ok("get-runtime-info", json!({})).await;
        assert_eq!(
            (&info["source"], &info["asOf"]),
            (&json!("snapshot"), &json!("2026-10-20"))
        );
        let warning = info["warning"].as_str().expect("it says so");
        assert!(warning.contains(reason), "{warning}");
        client.ok("get-runtime-info", json!({})).await;
        assert_eq!(
            site.hits.load(Ordering::SeqCst),
            1,
            "a page that is down is left alone for a while"
        );
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_reached_leaves_the_snapshot() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let runtimes = Runtimes::page(url.parse().expect("a URL")).expect("an HTTP client");
    let client = Client::of(LambdaOps::on(&Embedded::empty(), runtimes)).await;
    let info = client.ok("get-runtime-info", json!({})).await;
    assert!(
        info["warning"]
            .as_str()
            .expect("it says so")
            .contains("it cannot be reached")
    );
}
