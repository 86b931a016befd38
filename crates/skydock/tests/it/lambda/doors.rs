//! A function behind each door: both protocol eras, buffered and streamed.

use serde_json::json;
use skydock::LambdaResponse;

use super::function::{DOORS, OLD, call, event, function, initialize, last, message, read};
use crate::peer::MODERN;

const RESPONSES: [LambdaResponse; 2] = [LambdaResponse::Buffered, LambdaResponse::Streamed];

#[tokio::test]
async fn both_eras_are_served_behind_every_door() {
    for response in RESPONSES {
        let (api, _) = function(response).await;
        for door in DOORS {
            let answer = api.invoke(&event(door, OLD, &initialize())).await;
            let streams = ["rest-api", "function-url"].contains(&door);
            assert_eq!(
                answer.is_streamed(),
                streams && response == LambdaResponse::Streamed,
                "{door}"
            );
            let (status, body) = read(door, &answer);
            assert_eq!(status, 200, "{door}: {body}");
            assert_eq!(last(&body)["result"]["protocolVersion"], OLD, "{door}: {body}");

            let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            let (status, body) = read(door, &api.invoke(&event(door, OLD, &initialized)).await);
            if door == "invoke" {
                assert_eq!(body, "null");
            } else {
                assert_eq!((status, body.as_str()), (202, ""), "{door}");
            }

            for version in [OLD, MODERN] {
                let list = message(version, "tools/list", json!({}));
                let (_, body) = read(door, &api.invoke(&event(door, version, &list)).await);
                assert!(
                    last(&body)["result"]["tools"].as_array().unwrap().len() > 5,
                    "{door} {body}"
                );

                let call = call(version, "echo", json!({"text": "zwölf \"Pizzen\" 🍕"}));
                let (status, body) = read(door, &api.invoke(&event(door, version, &call)).await);
                assert_eq!(status, 200, "{door}: {body}");
                let text = &last(&body)["result"]["content"][0]["text"];
                // a message without HTTP says no version before 2026-07-28
                let said = if door == "invoke" && version == OLD {
                    "2025-03-26"
                } else {
                    version
                };
                assert_eq!(
                    text,
                    &json!(format!("zwölf \"Pizzen\" 🍕 ({said})")),
                    "{door} {version}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_tool_sees_the_invocation_on_either_way_through_the_service() {
    let (api, _) = function(LambdaResponse::Buffered).await;
    for progress in [false, true] {
        let mut call = call(MODERN, "invocation", json!({}));
        if progress {
            call["params"]["_meta"]["progressToken"] = json!("p");
        }
        let event = event("http-api", MODERN, &call);
        let headers = [("lambda-runtime-aws-tenant-id", "blue")];
        let answer = api.invoke_with(&headers, event.to_string().into_bytes()).await;
        let text = last(&read("http-api", &answer).1)["result"]["content"][0]["text"].to_string();
        let number = u32::from(progress);
        assert_eq!(
            text,
            format!("\"invocation-{number} of blue, traced as Root=1-5bef4de7;Sampled=1\"")
        );
    }
}
