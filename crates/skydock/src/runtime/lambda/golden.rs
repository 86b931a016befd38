//! Events in, requests out; responses in, Lambda's JSON and bytes out: against files, one for each door. The events are
//! those of AWS's documentation, called at a path of MCP, and one of `cargo lambda watch`.

use std::{fmt::Write as _, path::PathBuf};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    Invocation,
    client::Client,
    contract,
    events::{self, Arrived, Came, Source},
    response::{self, Streamed},
};

fn golden(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/lambda/golden")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn invocation(tool: Option<&str>) -> Invocation {
    let mut headers = HeaderMap::new();
    headers.insert(contract::header::REQUEST_ID, "1".parse().unwrap());
    if let Some(tool) = tool {
        let context = format!(r#"{{"custom":{{"{}":"{tool}"}}}}"#, contract::AGENTCORE_TOOL);
        headers.insert(contract::header::CLIENT_CONTEXT, context.parse().unwrap());
    }
    Invocation::read(&headers).unwrap()
}

fn written(arrived: &Arrived) -> String {
    let Arrived {
        source,
        request,
        domain,
    } = arrived;
    let mut text = format!("{source:?}");
    if let Some(domain) = domain {
        write!(text, " as {domain}").unwrap();
    }
    write!(text, "\n{} {}\n", request.method(), request.uri()).unwrap();
    let mut names: Vec<_> = request.headers().keys().collect();
    names.sort_by_key(|name| name.as_str());
    for name in names {
        for value in request.headers().get_all(name) {
            writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
    }
    writeln!(text, "\n{}", String::from_utf8_lossy(request.body()).trim_end()).unwrap();
    text
}

#[test]
fn each_event_is_the_request_that_it_was() {
    for name in [
        "rest-api",
        "rest-api-console",
        "http-api-1.0",
        "http-api",
        "function-url",
        "cargo-lambda",
        "alb",
        "alb-multi",
        "alb-health-check",
        "lattice-v1",
        "lattice-v2",
        "invoke",
        "agentcore",
    ] {
        let tool = (name == "agentcore").then_some("shop___order");
        let event = Bytes::from(golden(&format!("{name}.event.json")));
        let Ok(Came::Request(arrived)) = events::read(&invocation(tool), &event) else {
            panic!("{name} is no request");
        };
        let expected = golden(&format!("{name}.request.txt"));
        assert_eq!(written(&arrived).trim_end(), expected.trim_end(), "{name}");
    }
}

fn answer(body: impl Into<Body>) -> Response<Body> {
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("content-length", "7")
        .header("connection", "close")
        .header("vary", "origin")
        .header("vary", "accept")
        .header("set-cookie", "a=1; Secure")
        .header("set-cookie", "b=2");
    response.body(body.into()).unwrap()
}

const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"x":"ü"}}"#;

#[test]
fn each_door_gets_the_response_in_its_shape() {
    let head = answer("");
    for (name, source) in [
        ("rest-api", Source::RestApi),
        ("http-api-1.0", Source::HttpApiV1),
        ("http-api", Source::HttpApi),
        ("function-url", Source::FunctionUrl),
        ("alb", Source::LoadBalancer { multi: false }),
        ("alb-multi", Source::LoadBalancer { multi: true }),
        ("lattice-v2", Source::Lattice),
        ("invoke", Source::Invoke),
    ] {
        let response = response::write(source, StatusCode::OK, head.headers(), ANSWER.as_bytes()).unwrap();
        let response: Value = serde_json::from_slice(&response).unwrap();
        let expected: Value = serde_json::from_str(&golden(&format!("{name}.response.json"))).unwrap();
        assert_eq!(response, expected, "{name}");
    }
}

#[test]
fn what_is_binary_is_encoded() {
    let write = |headers: &HeaderMap, body: &[u8]| -> Value {
        let response = response::write(Source::HttpApi, StatusCode::OK, headers, body).unwrap();
        serde_json::from_slice(&response).unwrap()
    };
    let binary = write(&HeaderMap::new(), b"\xff\x00");
    assert_eq!(
        (&binary["isBase64Encoded"], &binary["body"]),
        (&Value::Bool(true), &Value::from("/wA="))
    );
    let mut zipped = HeaderMap::new();
    zipped.insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(write(&zipped, b"text")["isBase64Encoded"], true);
    let nothing = response::write(Source::Invoke, StatusCode::ACCEPTED, &HeaderMap::new(), b"");
    assert_eq!(nothing.unwrap(), b"null");
}

/// The frames of a streamed response: its pieces as text, and its trailers.
async fn frames(body: Body) -> (Vec<String>, HeaderMap) {
    let mut body = Body::new(Streamed::new(answer(body), None).unwrap());
    let (mut pieces, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => pieces.push(String::from_utf8(data.to_vec()).unwrap().replace('\0', "_")),
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    (pieces, trailers)
}

const PRELUDE: &str = r#"{"statusCode":200,"headers":{"content-type":"application/json","vary":"origin, accept"},"cookies":["a=1; Secure","b=2"]}"#;
const DELIMITER: &str = "________";

#[tokio::test]
async fn the_head_of_a_stream_goes_ahead_of_its_body() {
    assert_eq!(frames(Body::from("a")).await.0, [PRELUDE, DELIMITER, "a"]);
    assert_eq!(frames(Body::empty()).await.0, [PRELUDE, DELIMITER]);
    let slow = stream::once(async {
        tokio::task::yield_now().await;
        Ok::<_, std::io::Error>("a")
    });
    let (pieces, trailers) = frames(Body::from_stream(slow)).await;
    assert_eq!(pieces, [PRELUDE, DELIMITER, "a"]);
    assert!(trailers.is_empty());
}

#[tokio::test]
async fn what_is_ready_leaves_in_one_write() {
    let (bytes, reads) = on_the_wire(Body::from("a")).await;
    assert_eq!(reads, 1, "{bytes}");
    let body = bytes.split_once("\r\n\r\n").unwrap().1;
    let length = PRELUDE.len();
    assert_eq!(
        body.replace('\0', "_"),
        format!("{length:X}\r\n{PRELUDE}\r\n8\r\n{DELIMITER}\r\n1\r\na\r\n0\r\n\r\n")
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so_in_trailers_and_nothing_of_the_cause() {
    let breaks = || stream::iter([Ok("a"), Err(std::io::Error::other("secret-4711"))]);
    let panics = stream::iter([Ok::<_, std::io::Error>("a"), Ok("b")]).map(|piece| {
        assert!(!matches!(piece, Ok("b")), "secret-4711");
        piece
    });
    for body in [Body::from_stream(breaks()), Body::from_stream(panics)] {
        let (pieces, trailers) = frames(body).await;
        assert_eq!(pieces, [PRELUDE, DELIMITER, "a"]);
        assert_eq!(trailers[contract::header::ERROR_TYPE], "Skydock.StreamError");
        use base64::Engine as _;
        let cause = base64::engine::general_purpose::STANDARD
            .decode(&trailers[contract::header::ERROR_BODY])
            .unwrap();
        let cause: Value = serde_json::from_slice(&cause).unwrap();
        assert!(
            cause["errorMessage"]
                .as_str()
                .unwrap()
                .starts_with("the answer broke off (reference ")
        );
        assert!(!cause.to_string().contains("4711"));
    }
    // on the wire too
    let (bytes, _) = on_the_wire(Body::from_stream(breaks())).await;
    let (head, body) = bytes.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\n"),
        "{head}"
    );
    for line in [
        "lambda-runtime-function-response-mode: streaming",
        "transfer-encoding: chunked",
        "content-type: application/vnd.awslambda.http-integration-response",
        "trailer: lambda-runtime-function-error-type",
        "trailer: lambda-runtime-function-error-body",
    ] {
        assert!(
            head.to_ascii_lowercase().contains(line),
            "{line} is missing in {head}"
        );
    }
    let trailers = body.split_once("\r\n0\r\n").unwrap().1;
    assert!(
        trailers.contains("lambda-runtime-function-error-type: Skydock.StreamError\r\n"),
        "{trailers}"
    );
    assert!(trailers.ends_with("\r\n\r\n"), "{trailers}");
}

/// What a runtime API gets of a streamed response, and in how many reads.
async fn on_the_wire(body: Body) -> (String, u32) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = listener.local_addr().unwrap().to_string().parse().unwrap();
    let taking = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut bytes, mut reads) = (Vec::with_capacity(4_096), 0);
        while !(bytes.ends_with(b"\r\n\r\n") && bytes.windows(5).any(|bytes| bytes == b"\r\n0\r\n")) {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "it broke off");
            reads += 1;
        }
        stream
            .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        (String::from_utf8(bytes).unwrap(), reads)
    };
    let mut client = Client::new(api);
    let body = Body::new(Streamed::new(answer(body), None).unwrap());
    let invocation = invocation(None);
    let (sent, taken) = tokio::join!(client.stream(&invocation, body), taking);
    sent.unwrap();
    taken
}

#[tokio::test]
async fn a_stream_without_an_end_ends_in_time() {
    let endless = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let until = tokio::time::Instant::now() + std::time::Duration::from_millis(50);
    let streamed = Streamed::new(answer(endless), Some(until)).unwrap();
    let collected = Body::new(streamed).collect().await.unwrap();
    assert_eq!(collected.trailers(), None);
    assert!(collected.to_bytes().ends_with(&contract::DELIMITER));
    assert!(tokio::time::Instant::now() >= until);
}

#[tokio::test]
async fn a_start_that_failed_is_told_without_its_reasons() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = listener.local_addr().unwrap().to_string();
    let taking = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"}") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "it broke off");
        }
        stream
            .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let ((), bytes) = tokio::join!(super::report_start(&api), taking);
    assert!(
        bytes.starts_with("POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"),
        "{bytes}"
    );
    assert!(bytes.contains("\"errorType\":\"Skydock.Start\""), "{bytes}");
}
