//! The embedded account as the SDK sees it: what the tools do not use yet, and what it leaves out.

use aws_sdk_lambda::{
    Client,
    error::ProvideErrorMetadata,
    types::{FunctionVersion, InvocationType, Runtime},
};
use lambda_ops::embedded::Embedded;

use crate::bench::account;

/// `catalog-api` with version 1 on nodejs22.x and version 2 on nodejs24.x.
async fn published() -> Client {
    let sdk = account().client();
    let publish = sdk.publish_version().function_name("catalog-api");
    let first = publish.clone().send().await.expect("a version");
    assert_eq!(
        (first.version(), first.runtime()),
        (Some("1"), Some(&Runtime::Nodejs22x))
    );
    let again = publish.clone().send().await.expect("the same version");
    assert_eq!(
        again.version(),
        Some("1"),
        "nothing changed, so nothing new is published"
    );
    let update = sdk.update_function_configuration().function_name("catalog-api");
    update
        .runtime(Runtime::Nodejs24x)
        .send()
        .await
        .expect("an update");
    let early = publish.clone().send().await.expect_err("it is in progress");
    assert_eq!(early.code(), Some("ResourceConflictException"));
    for _ in 0..2 {
        sdk.get_function_configuration()
            .function_name("catalog-api")
            .send()
            .await
            .expect("a look");
    }
    assert_eq!(publish.send().await.expect("a version").version(), Some("2"));
    sdk
}

#[tokio::test]
async fn a_version_stays_as_it_was_published() {
    let sdk = published().await;
    let first = sdk
        .get_function_configuration()
        .function_name("catalog-api")
        .qualifier("1");
    assert_eq!(
        first.send().await.expect("version 1").runtime(),
        Some(&Runtime::Nodejs22x)
    );
    let versions = sdk
        .list_versions_by_function()
        .function_name("catalog-api")
        .send()
        .await
        .expect("versions");
    let numbers: Vec<_> = versions
        .versions()
        .iter()
        .filter_map(|version| version.version())
        .collect();
    assert_eq!(numbers, ["$LATEST", "1", "2"]);
    let all = sdk
        .list_functions()
        .function_version(FunctionVersion::All)
        .into_paginator()
        .items()
        .send();
    assert_eq!(
        all.collect::<Result<Vec<_>, _>>().await.expect("pages").len(),
        124,
        "120, two of catalog-api and two of order-events"
    );
}

#[tokio::test]
async fn an_alias_points_to_a_version_until_it_is_moved() {
    let sdk = published().await;
    let alias = sdk
        .create_alias()
        .function_name("catalog-api")
        .name("live")
        .function_version("1");
    let alias = alias.send().await.expect("an alias");
    let held = sdk
        .get_function_configuration()
        .function_name("catalog-api:live")
        .send()
        .await
        .expect("by alias");
    assert_eq!(
        (held.version(), held.runtime()),
        (Some("1"), Some(&Runtime::Nodejs22x))
    );
    let moved = sdk
        .update_alias()
        .function_name("catalog-api")
        .name("live")
        .function_version("2");
    let stale = moved
        .clone()
        .revision_id("stale")
        .send()
        .await
        .expect_err("another revision");
    assert_eq!(stale.code(), Some("PreconditionFailedException"));
    moved
        .set_revision_id(alias.revision_id().map(str::to_owned))
        .send()
        .await
        .expect("the alias moves");
    let live = sdk
        .get_alias()
        .function_name("catalog-api")
        .name("live")
        .send()
        .await
        .expect("it is there");
    assert_eq!(live.function_version(), Some("2"));
    assert_eq!(
        sdk.list_aliases()
            .function_name("catalog-api")
            .send()
            .await
            .expect("aliases")
            .aliases()
            .len(),
        1
    );
}

#[tokio::test]
async fn the_sdks_own_paginator_and_waiter_work() {
    let sdk = account().client();
    let pages = sdk.list_functions().max_items(50).into_paginator().send();
    let sizes: Vec<usize> = pages
        .collect::<Result<Vec<_>, _>>()
        .await
        .expect("pages")
        .iter()
        .map(|page| page.functions().len())
        .collect();
    assert_eq!(sizes, [50, 50, 20]);
    let settings = sdk.get_account_settings().send().await.expect("settings");
    assert_eq!(
        settings.account_usage().map(|usage| usage.function_count()),
        Some(120)
    );
}

#[tokio::test]
async fn a_dry_run_runs_nothing() {
    let dry = account()
        .client()
        .invoke()
        .function_name("payment-webhook")
        .invocation_type(InvocationType::DryRun);
    let dry = dry.send().await.expect("it may be run");
    assert_eq!((dry.status_code(), dry.function_error()), (204, None));
}

#[tokio::test]
async fn the_code_url_is_there_for_whoever_asks_so_that_tools_must_not() {
    let got = account()
        .client()
        .get_function()
        .function_name("orders-api")
        .send()
        .await
        .expect("it is there");
    assert!(
        got.code()
            .and_then(|code| code.location())
            .is_some_and(|url| url.starts_with("https://"))
    );
    assert!(got.configuration().and_then(|c| c.environment()).is_some());
}

#[tokio::test]
async fn refusals_carry_awss_names() {
    let sdk = account().client();
    let unknown = sdk
        .update_function_configuration()
        .function_name("orders-api")
        .runtime("nodejs99.x".into());
    let unknown = unknown.send().await.expect_err("no such runtime");
    assert_eq!(unknown.code(), Some("InvalidParameterValueException"));
    let blocked = sdk
        .update_function_configuration()
        .function_name("orders-api")
        .runtime("nodejs12.x".into());
    let blocked = blocked.send().await.expect_err("a blocked runtime");
    assert!(
        blocked
            .message()
            .is_some_and(|text| text.contains("nodejs12.x is no longer supported"))
    );
    let missing = sdk
        .get_function()
        .function_name("nobody")
        .send()
        .await
        .expect_err("no such function");
    assert!(missing.into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn what_is_left_out_is_refused_by_name() {
    let left_out = Embedded::new(1)
        .client()
        .list_layers()
        .send()
        .await
        .expect_err("left out");
    assert_eq!(left_out.code(), Some("NotImplementedException"));
    let message = left_out.message().unwrap_or_default().to_owned();
    assert!(message.contains("GET /2018-10-31/layers"), "{message}");
}
