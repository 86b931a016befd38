//! Connections that say nothing, say it slowly, or do not listen.

use std::{path::Path, time::Duration};

use checks::{fixtures::Fixtures, program::Program};
use futures::future::join_all;
use serde_json::{Value, json};
use skydock::{Config, Host, Listening};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{SERVER, VERSION, serve};
use crate::wire::{self, Http, PATIENCE};

/// The same host in this process, where its clocks can be set short.
async fn impatient() -> Listening {
    let mut config = Config::default();
    config.limits.head_timeout = Duration::from_secs(1);
    config.limits.body_timeout = Duration::from_secs(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Host::new(Fixtures::default())
        .with(config)
        .listen(listener)
        .unwrap()
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let host = impatient().await;
    let mut socket = TcpStream::connect(host.addr()).await.unwrap();
    let head = head(&host, 1_000);
    socket
        .write_all(format!("{head}{{\"jsonrpc\":").as_bytes())
        .await
        .unwrap();
    // The rest never comes.
    let answer = read_all(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"jsonrpc\":\"2.0\""), "{answer}");
    greets(&host).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_too() {
    let host = impatient().await;
    let mut socket = TcpStream::connect(host.addr()).await.unwrap();
    socket.write_all(head(&host, 1_000_000).as_bytes()).await.unwrap();
    let (mut reader, mut writer) = socket.split();
    let trickle = async {
        // A byte now and then keeps no request alive: the limit is on the whole body.
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<String>().await
    };
    let answer = async {
        let mut answer = vec![0; 12];
        reader.read_exact(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let answer =
        tokio::select! { never = trickle => never, answer = timeout(PATIENCE, answer) => answer.unwrap() };
    assert_eq!(answer, "HTTP/1.1 408");
    greets(&host).await;
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_head_are_closed() {
    let host = impatient().await;
    let silent = join_all((0..200).map(|number| {
        let addr = host.addr();
        async move {
            let mut socket = TcpStream::connect(addr).await.unwrap();
            // Nothing; half a head of HTTP/1; half a preface of HTTP/2, which begins like a POST.
            let opening: &[u8] = match number % 4 {
                0 => b"",
                1 => b"POST /mcp HTTP/1.1\r\nHost: 127",
                2 => b"P",
                _ => b"PRI * HTTP/2.0\r\n",
            };
            socket.write_all(opening).await.unwrap();
            socket
        }
    }))
    .await;
    // While they are open, others are served.
    greets(&host).await;
    let closed = join_all(
        silent
            .into_iter()
            .enumerate()
            .map(|(number, mut socket)| async move {
                // A head that was begun is given up with an answer or without; an idle connection just ends.
                let answer = read_all(&mut socket).await;
                assert!(
                    answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
                    "{number}: {answer}"
                );
            }),
    );
    timeout(PATIENCE, closed)
        .await
        .expect("all are closed by the server");
    greets(&host).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_harms_nobody() {
    let program = Program::serve(Path::new(SERVER), &[]).await.unwrap();
    for _ in 0..100 {
        let mut socket = program.connect().await.unwrap();
        let addr = program.addr();
        let head = format!("POST /mcp HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 500\r\n\r\n{{\"jsonrpc\"");
        socket.write_all(head.as_bytes()).await.unwrap();
    }
    let client = Http::initialized(program.mcp(), VERSION).await;
    assert_eq!(
        client.call("greet", json!({ "name": "you" })).await.text(),
        "Hello, you!"
    );
    assert!(program.stop().await.unwrap().success());
}

#[tokio::test]
async fn bytes_that_are_no_http_harm_nobody() {
    let program = Program::serve(Path::new(SERVER), &[]).await.unwrap();
    let noise: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        &[0; 4096],
    ];
    for bytes in noise {
        let mut socket = program.connect().await.unwrap();
        // It may hang up before it has read them all.
        let _ = socket.write_all(bytes).await;
        let _ = socket.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, socket.read_to_end(&mut answer))
            .await
            .expect("the server closes");
    }
    let client = Http::initialized(program.mcp(), VERSION).await;
    assert_eq!(
        client.call("greet", json!({ "name": "you" })).await.text(),
        "Hello, you!"
    );
}

#[tokio::test]
async fn a_huge_answer_to_a_slow_reader_holds_up_nobody_else() {
    const BYTES: usize = 16 * 1024 * 1024;
    for mode in ["stateful", "json"] {
        let (_program, client) = serve(mode).await;
        let call = json!({ "name": "huge", "arguments": { "bytes": BYTES } });
        // The head has come; the body waits in the sockets until it is read.
        let slow = client
            .send(wire::request(7, "tools/call", call).to_string())
            .await;
        for _ in 0..10 {
            let answer = client.call("greet", json!({ "name": "quick" })).await;
            assert_eq!(answer.text(), "Hello, quick!", "{mode}: {answer:?}");
        }
        let late = wire::answer(slow).await;
        assert_eq!(late.body["id"], 7, "{mode}");
        assert_eq!(late.text().len(), BYTES, "{mode}: the slow reader gets all of it");
    }
}

fn head(host: &Listening, length: usize) -> String {
    let addr = host.addr();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// What comes until the server closes the connection.
async fn read_all(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn greets(host: &Listening) {
    let answer = Http::initialized(host.url(), VERSION)
        .await
        .call("greet", json!({ "name": "you" }))
        .await;
    assert_eq!(answer.text(), "Hello, you!", "{answer:?}");
    assert_eq!(answer.body["error"], Value::Null);
}
