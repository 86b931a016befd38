//! The embedded account as AWS's other clients see it: its regions, the services beside Lambda, faults, plain HTTP.

use std::{process::Stdio, time::Duration};

use aws_sdk_lambda::{error::ProvideErrorMetadata, types::Runtime};
use axum::{body::Body, extract::Request};
use lambda_ops::{
    account::{Account, Error, FunctionName},
    embedded::{ACCOUNT_ID, Embedded, Operation, Pace, REGION},
};
use rmcp::{ServiceExt, model::CallToolRequestParams};
use serde_json::json;

use crate::bench::{BRISK, Client, account, server};

fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).expect("a name")
}

async fn count(account: &Account) -> usize {
    let (mut count, mut marker) = (0, None);
    loop {
        let page = account.list(marker.as_deref()).await.expect("a page");
        count += page.functions.len();
        marker = page.next;
        if marker.is_none() {
            return count;
        }
    }
}

#[tokio::test]
async fn regions_have_functions_of_their_own_or_none() {
    let account = account().account();
    for (region, functions) in [
        (REGION, 120),
        ("us-east-1", 40),
        ("eu-west-1", 25),
        ("ap-southeast-2", 15),
        ("sa-east-1", 0),
    ] {
        let there = account.in_region(region);
        assert_eq!(count(&there).await, functions, "{region}");
        let page = there.list(None).await.expect("a page");
        let home = format!("arn:aws:lambda:{region}:");
        assert!(
            page.functions
                .iter()
                .all(|function| function.arn.starts_with(&home))
        );
        assert_eq!(there.identity().await.expect("an identity").region, region);
    }
    let large = Embedded::sized(1, &["us-west-2", REGION], 1000);
    assert_eq!(large.account().region(), "us-west-2");
    assert_eq!(count(&large.account()).await, 1000);
}

#[tokio::test]
async fn sts_says_who_calls_and_is_asked_once() {
    let embedded = account();
    let account = embedded.account();
    for _ in 0..2 {
        let identity = account.identity().await.expect("an identity");
        assert_eq!(identity.account, "123456789012");
        assert_eq!(
            identity.arn,
            "arn:aws:sts::123456789012:assumed-role/lambda-ops/embedded"
        );
    }
    assert_eq!(embedded.calls(), [Operation::GetCallerIdentity]);
}

#[tokio::test]
async fn the_tagging_api_knows_every_tagged_function_a_hundred_a_page() {
    let embedded = account();
    let account = embedded.account();
    let all = account.tagged().await.expect("all tags");
    assert_eq!(all.len(), 120);
    let again = account.in_region(REGION).tagged().await.expect("all tags");
    assert_eq!(all, again, "kept for a minute");
    assert_eq!(embedded.calls(), [Operation::GetResources; 2]);
    let arn = "arn:aws:lambda:eu-central-1:123456789012:function:stock-sync";
    assert_eq!(all[arn], account.tags(arn).await.expect("its tags"));
    let filter = aws_sdk_resourcegroupstagging::types::TagFilter::builder()
        .key("ManagedBy")
        .values("terraform")
        .build();
    let owned = aws_sdk_resourcegroupstagging::Client::new(&embedded.config())
        .get_resources()
        .tag_filters(filter)
        .resources_per_page(5)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .expect("pages");
    let terraform =
        |tags: &&lambda_ops::account::Tags| tags.get("ManagedBy").is_some_and(|by| by == "terraform");
    assert_eq!(owned.len(), all.values().filter(terraform).count());
    assert!(owned.len() > 5, "more than a page");
}

#[tokio::test]
async fn a_function_of_another_account_or_region_is_refused_as_by_aws() {
    let account = account();
    let arn = |region: &str, owner: &str| format!("arn:aws:lambda:{region}:{owner}:function:orders-api");
    let sdk = account.client();
    for (arn, code) in [
        (arn("us-east-1", ACCOUNT_ID), "ResourceNotFoundException"),
        (arn(REGION, "999999999999"), "AccessDeniedException"),
    ] {
        let look = sdk.get_function_configuration().function_name(&arn).send();
        assert_eq!(
            look.await.expect_err("it is not here").code(),
            Some(code),
            "{arn}"
        );
        let run = sdk.invoke().function_name(&arn).send();
        assert_eq!(run.await.expect_err("it is not here").code(), Some(code), "{arn}");
        let feeds = sdk.list_event_source_mappings().function_name(&arn).send();
        assert_eq!(
            feeds.await.expect_err("it is not here").code(),
            Some(code),
            "{arn}"
        );
    }
    assert!(account.runs().is_empty(), "{:?}", account.runs());
    let here = sdk
        .get_function_configuration()
        .function_name(arn(REGION, ACCOUNT_ID));
    here.send().await.expect("it is here");
}

#[tokio::test]
async fn layers_say_what_they_are_made_for_unless_they_are_somebody_elses() {
    let account = account().account();
    let layer = async |function: &str| {
        let configuration = account.configuration(&name(function)).await.expect("it is there");
        account
            .layer(configuration.layers.first().expect("it has a layer"))
            .await
    };
    let images = layer("email-renderer").await.expect("readable");
    assert_eq!(images.runtimes, ["nodejs18.x", "nodejs20.x", "nodejs22.x"]);
    assert_eq!(images.architectures, ["x86_64", "arm64"]);
    let foreign = layer("partner-feed").await;
    assert!(matches!(foreign, Err(Error::Denied { .. })), "{foreign:?}");
}

#[tokio::test]
async fn a_function_in_use_has_versions_an_alias_with_weights_an_event_source_and_a_limit() {
    let account = account().account();
    let orders = name("order-events");
    let versions = account.versions(&orders).await.expect("versions");
    let runtimes: Vec<_> = versions
        .iter()
        .map(|version| {
            (
                version.version.as_str(),
                version.runtime.as_deref().expect("a zip"),
            )
        })
        .collect();
    let wanted = [
        ("$LATEST", "nodejs20.x"),
        ("1", "nodejs18.x"),
        ("2", "nodejs20.x"),
    ];
    assert_eq!(runtimes, wanted);
    let aliases = account.aliases(&orders).await.expect("aliases");
    assert_eq!(
        (aliases[0].name.as_str(), aliases[0].version.as_str()),
        ("live", "1")
    );
    assert_eq!(aliases[0].weights, [("2".to_owned(), 0.1)]);
    let sources = account.event_sources(&orders).await.expect("event sources");
    assert_eq!(
        sources[0].arn.as_deref(),
        Some("arn:aws:sqs:eu-central-1:123456789012:orders")
    );
    let concurrency = account.concurrency(&orders).await.expect("concurrency");
    assert_eq!(concurrency.reserved, Some(20));
    let calm = account
        .concurrency(&name("orders-api"))
        .await
        .expect("concurrency");
    assert_eq!(calm.reserved, None);
    assert!(
        account
            .event_sources(&name("orders-api"))
            .await
            .expect("none")
            .is_empty()
    );
    let replica = account
        .configuration(&name("us-east-1.geo-redirect"))
        .await
        .expect("a replica");
    assert!(replica.master_arn.is_some_and(|arn| arn.contains(":us-east-1:")));
}

#[tokio::test]
async fn publishing_gives_latest_another_revision_and_a_snapstart_version_takes_its_time() {
    let embedded = account();
    let account = embedded.account();
    let points = name("loyalty-points");
    let before = account.configuration(&points).await.expect("it is there");
    assert!(before.snap_start);
    let version = account
        .publish(&points, "way back", before.revision_id.as_deref())
        .await
        .expect("a version");
    let after = account.configuration(&points).await.expect("it is there");
    assert_ne!(before.revision_id, after.revision_id);
    let published = name(&format!("loyalty-points:{}", version.version));
    let early = account.try_invoke(&points, Some(&version.version)).await;
    assert!(matches!(early, Err(Error::Conflict { .. })), "{early:?}");
    let mut states = Vec::new();
    for _ in 0..BRISK.reads {
        let look = account.configuration(&published).await.expect("the version");
        states.push(look.state.expect("a state"));
    }
    assert_eq!(states, ["Pending", "Active"]);
    account
        .try_invoke(&points, Some(&version.version))
        .await
        .expect("it may be run now");
}

#[tokio::test]
async fn every_service_words_a_fault_so_that_the_sdk_understands_it() {
    let embedded = account();
    let account = embedded.account();
    embedded.faults().throttle_all(1);
    account.identity().await.expect("the SDK tries again");
    embedded.faults().throttle_all(1);
    account.tagged().await.expect("the SDK tries again");
    embedded.faults().expire_all_credentials(2);
    let expired = embedded.account().tagged().await;
    assert!(matches!(expired, Err(Error::Credentials(_))), "{expired:?}");
    let expired = account.in_region("eu-west-1").identity().await.cloned();
    assert!(matches!(expired, Err(Error::Credentials(_))), "{expired:?}");
    embedded
        .faults()
        .expire_credentials_from(Operation::ListAliases, 2);
    account.list(None).await.expect("not yet");
    for _ in 0..2 {
        let expired = account.aliases(&name("orders-api")).await;
        assert!(matches!(expired, Err(Error::Credentials(_))), "{expired:?}");
    }
    account.aliases(&name("orders-api")).await.expect("renewed");
    embedded.faults().deny(Operation::GetResources, 1);
    let denied = embedded.account().tagged().await;
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
}

#[tokio::test]
async fn a_region_can_fail_alone() {
    let embedded = account();
    let account = embedded.account();
    embedded.faults().make_unreachable("eu-west-1");
    embedded.faults().deny_the_region("us-east-1");
    let lost = account.in_region("eu-west-1").list(None).await;
    assert!(matches!(lost, Err(Error::Unreachable { .. })), "{lost:?}");
    let denied = account.in_region("us-east-1").list(None).await;
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
    account.list(None).await.expect("home is well");
    assert_eq!(embedded.calls_in("us-east-1"), [Operation::ListFunctions]);
}

#[test]
fn every_operation_but_one_has_a_permission_of_its_service() {
    for operation in Operation::ALL {
        match operation.iam_action() {
            Some(action) => assert!(action.starts_with("lambda:") || action.starts_with("tag:")),
            None => assert_eq!(*operation, Operation::GetCallerIdentity),
        }
    }
    assert_eq!(Operation::Invoke.iam_action(), Some("lambda:InvokeFunction"));
    assert_eq!(
        Operation::GetLayerVersionByArn.iam_action(),
        Some("lambda:GetLayerVersion")
    );
}

/// Serves the account over HTTP, and gives its address.
async fn over_http(embedded: &Embedded) -> String {
    let embedded = embedded.clone();
    let answer = move |request: Request| {
        let embedded = embedded.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 23).await.expect("the whole body");
            let request = http::Request::from_parts(parts, body.to_vec());
            embedded.answer(request).await.map(Body::from)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("it has one");
    let door = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, door).await });
    format!("http://{address}")
}

#[tokio::test]
async fn the_program_works_on_it_over_a_socket() {
    let embedded = account();
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_lambda-ops"))
        .env_clear()
        .env("AWS_ENDPOINT_URL", over_http(&embedded).await)
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "socket")])
        .envs([
            ("AWS_SECRET_ACCESS_KEY", "socket"),
            ("SKYDOCK_RUNTIMES_PAGE", "off"),
        ])
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let pipes = (
        child.stdout.take().expect("piped"),
        child.stdin.take().expect("piped"),
    );
    let client = ().serve(pipes).await.expect("it speaks MCP");
    let listed = client
        .call_tool(CallToolRequestParams::new("list-functions"))
        .await
        .expect("it answers");
    let functions = listed.structured_content.expect("structured")["functions"].clone();
    assert_eq!(functions.as_array().map(Vec::len), Some(40));
    let arguments = json!({ "functionName": functions[0]["arn"] });
    let look = CallToolRequestParams::new("get-function")
        .with_arguments(serde_json::from_value(arguments).expect("an object"));
    let shown = client.call_tool(look).await.expect("it answers");
    assert_eq!(
        shown.structured_content.expect("structured")["name"],
        functions[0]["name"]
    );
    client.cancel().await.expect("the client ends");
    assert!(embedded.calls_in("us-east-1").contains(&Operation::ListFunctions));
}

#[tokio::test]
async fn what_is_not_signed_or_not_a_service_is_refused() {
    let embedded = account();
    let unsigned = http::Request::get("/2015-03-31/functions").body(Vec::new());
    let answer = embedded.answer(unsigned.expect("a request")).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(
        answer.headers()["x-amzn-errortype"],
        "MissingAuthenticationTokenException"
    );
    let iam = http::Request::post("/").header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=a/20261020/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0",
    );
    let answer = embedded.answer(iam.body(Vec::new()).expect("a request")).await;
    assert_eq!(answer.status(), 501);
}

#[tokio::test]
async fn a_pace_set_later_holds_in_every_region() {
    let embedded = account();
    embedded.set_pace(Pace {
        reads: 0,
        time: Duration::ZERO,
    });
    let sdk = aws_sdk_lambda::Client::from_conf(
        aws_sdk_lambda::config::Builder::from(&embedded.config())
            .region(aws_sdk_lambda::config::Region::new("us-east-1"))
            .build(),
    );
    let listed = sdk.list_functions().send().await.expect("functions");
    let node = listed
        .functions()
        .iter()
        .find(|function| function.runtime() == Some(&Runtime::Nodejs18x));
    let node = node.and_then(|function| function.function_name()).expect("one");
    let update = sdk
        .update_function_configuration()
        .function_name(node)
        .runtime(Runtime::Nodejs22x);
    let done = update
        .send()
        .await
        .map_err(|error| error.code().map(str::to_owned));
    let status = done.expect("it is updated").last_update_status().cloned();
    assert_eq!(status.expect("a status").as_str(), "Successful");
}

#[tokio::test]
async fn a_fault_of_any_operation_a_tool_reads_with_is_survived_or_told() {
    let arguments = json!({ "functionName": "email-renderer" });
    let operations = [
        Operation::GetFunctionConfiguration,
        Operation::GetFunctionConcurrency,
        Operation::GetLayerVersionByArn,
        Operation::ListAliases,
        Operation::ListEventSourceMappings,
        Operation::ListTags,
        Operation::ListVersionsByFunction,
    ];
    for operation in operations {
        let embedded = account();
        let client = Client::of(server(&embedded)).await;
        embedded.faults().throttle(operation, 2);
        client.ok("get-function", arguments.clone()).await;
        let tries = embedded.calls().iter().filter(|call| **call == operation).count();
        assert_eq!(tries, 3, "{operation:?} is tried again");
        embedded.faults().expire_credentials(operation, 1);
        let text = client.refusal("get-function", arguments.clone()).await;
        assert!(
            text.contains("credentials of this server are not valid"),
            "{operation:?}: {text}"
        );
        embedded.faults().garble_the_answer(operation);
        let text = client.refusal("get-function", arguments.clone()).await;
        assert!(text.contains("could not be read"), "{operation:?}: {text}");
    }
}
