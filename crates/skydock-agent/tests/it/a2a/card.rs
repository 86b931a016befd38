//! The card (specification 4.4.1, 8.2, 8.6), and the one for callers who are known (3.1.11).

use std::sync::Arc;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use skydock_agent::a2a::{Service, card, protocol::AgentExtension};

use super::instance::{Puppet, alone, code, limits, memory, rest, rpc, serve, user_message};

#[tokio::test]
async fn s4_4_1_the_card_names_both_interfaces_and_what_is_served() {
    let (instance, _) = alone().await;
    let answer = Client::new()
        .get(format!("{}/.well-known/agent-card.json", instance.url))
        .header("origin", "https://elsewhere.example")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    assert_eq!(headers["content-type"], "application/json");
    assert!(
        headers["cache-control"].to_str().unwrap().contains("max-age="),
        "8.6"
    );
    // everybody may read it, and no page does so in the name of its user
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let card: Value = answer.json().await.unwrap();
    for field in [
        "name",
        "description",
        "version",
        "defaultInputModes",
        "defaultOutputModes",
    ] {
        assert!(!card[field].is_null(), "{field}: {card}");
    }
    let interfaces: Vec<_> = card["supportedInterfaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["protocolBinding"].as_str().unwrap(),
                one["protocolVersion"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(interfaces, [("JSONRPC", "1.0"), ("HTTP+JSON", "1.0")]);
    assert_eq!(card["capabilities"]["streaming"], true);
    assert_eq!(card["capabilities"]["pushNotifications"], false);
    assert_eq!(card["skills"][0]["id"], "echo");

    let etag = headers["etag"].clone();
    let again = Client::new()
        .get(format!("{}/.well-known/agent-card.json", instance.url))
        .header("if-none-match", etag.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "8.6");
    assert_eq!(again.headers()["etag"], etag);
}

#[tokio::test]
async fn s3_1_11_without_an_extended_card_the_operation_is_not_supported() {
    let (instance, _) = alone().await;
    assert_eq!(
        code(&instance.url, "GetExtendedAgentCard", json!({})).await,
        -32004
    );
    let request = Client::new().get(format!("{}/extendedAgentCard", instance.url));
    let (status, kind, body) = rest(request.header("A2A-Version", "1.0")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(kind, "application/problem+json");
    assert_eq!(
        body["error"]["details"][0]["reason"], "UNSUPPORTED_OPERATION",
        "{body}"
    );
}

#[tokio::test]
async fn s3_1_11_an_extended_card_is_given_and_declared() {
    let instance = serve(|public| {
        let extended = card("Echo, in full", "More.", "http://127.0.0.1:1", Vec::new());
        Service::new(public, memory(), Arc::new(Puppet::new())).with_extended_card(extended)
    })
    .await;
    assert_eq!(
        instance.service.card().capabilities.extended_agent_card,
        Some(true)
    );
    let answer = rpc(&instance.url, Some("1.0"), "GetExtendedAgentCard", json!({})).await;
    assert_eq!(answer["result"]["name"], "Echo, in full", "{answer}");
}

#[tokio::test]
async fn s3_3_4_who_does_not_know_a_required_extension_is_refused() {
    const NEEDED: &str = "https://example.com/ext/v1";
    let instance = serve(|mut card| {
        card.capabilities.extensions = Some(vec![AgentExtension {
            uri: NEEDED.to_owned(),
            description: None,
            required: Some(true),
            params: None,
        }]);
        Service::new(card, memory(), Arc::new(Puppet::new())).with_limits(limits())
    })
    .await;
    assert_eq!(
        code(&instance.url, "SendMessage", user_message("hi")).await,
        -32008
    );
    let request = Client::new()
        .post(format!("{}/message:send", instance.url))
        .json(&user_message("hi"));
    let request = request
        .header("A2A-Version", "1.0")
        .header("A2A-Extensions", format!("https://example.com/other, {NEEDED}"));
    let (status, _, body) = rest(request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}
