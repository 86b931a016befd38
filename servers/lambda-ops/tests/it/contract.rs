//! What must hold on any account: the embedded one, and stand-ins for AWS that others wrote.
//!
//! `LAMBDA_OPS_STAND_IN=http://127.0.0.1:4577 LAMBDA_OPS_STAND_IN_KIND=ministack` runs it against such a server,
//! where it makes its own functions; without them it runs against the embedded account. What a stand-in does not do
//! as AWS does is named in [`StandIn`], so that each assertion left out is a line there.

use std::{io::Write, time::Duration};

use aws_sdk_lambda::{
    Client as Sdk,
    config::{BehaviorVersion, Credentials, Region},
    primitives::Blob,
    types::{Environment, FunctionCode, Runtime},
};
use lambda_ops::{
    LambdaOps,
    account::{self, Account, FunctionName},
    allow::Allow,
    embedded,
    runtimes::Runtimes,
    upgrade::Patience,
};
use serde_json::{Value, json};

use crate::bench::{self, Client};

const REGION: &str = "eu-central-1";
const SECRET: &str = "a-value-that-nobody-may-see";
const ROLE: &str = "arn:aws:iam::123456789012:role/contract";

/// A place to run the contract against.
#[derive(Debug, Clone, Copy)]
struct StandIn {
    name: &'static str,
    /// What it does not do as AWS does.
    lacks: &'static [Capability],
}

/// What AWS does and a stand-in may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capability {
    /// An update with a stale revision id is refused (`PreconditionFailedException`).
    ChecksRevisions,
    /// An update to a runtime that does not exist is refused.
    ChecksRuntimes,
    /// Functions are really run, so that one can fail.
    RunsFunctions,
    /// An invocation gives the end of the log.
    GivesLogs,
}

use Capability::{ChecksRevisions, ChecksRuntimes, GivesLogs, RunsFunctions};

const EMBEDDED: StandIn = StandIn {
    name: "the embedded account",
    lacks: &[],
};

/// `ministack` 1.5 accepts any text as a runtime and gives no log tail.
const MINISTACK: StandIn = StandIn {
    name: "ministack",
    lacks: &[ChecksRuntimes, GivesLogs],
};

/// `moto` 5.2 accepts any revision id and any runtime, and without docker answers an invocation with its payload.
/// It ignores `MaxItems` as well; our pages are full all the same, because the marker can point into one of AWS's.
const MOTO: StandIn = StandIn {
    name: "moto",
    lacks: &[ChecksRevisions, ChecksRuntimes, RunsFunctions, GivesLogs],
};

impl StandIn {
    /// True if this can be asserted here; what cannot is said.
    fn can(self, capability: Capability, assertion: &str) -> bool {
        let can = !self.lacks.contains(&capability);
        if !can {
            writeln!(std::io::stderr(), "left out on {}: {assertion}", self.name).ok();
        }
        can
    }
}

#[tokio::test]
async fn contract_against_a_stand_in() {
    let Ok(url) = std::env::var("LAMBDA_OPS_STAND_IN") else {
        let account = bench::account();
        let server = bench::server(&account);
        return contract(EMBEDDED, account.account(), account.client(), server).await;
    };
    let stand_in = match std::env::var("LAMBDA_OPS_STAND_IN_KIND").as_deref() {
        Ok("ministack") => MINISTACK,
        Ok("moto") => MOTO,
        other => panic!("LAMBDA_OPS_STAND_IN_KIND is {other:?}: choose ministack or moto"),
    };
    if stand_in.name == MOTO.name {
        prepare_moto(&url).await;
    }
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await;
    let account = Account::from_config(&config)
        .await
        .expect("region and credentials are set");
    let patience = Patience::every(Duration::from_millis(50), Duration::from_secs(60));
    let server = LambdaOps::new(account.clone(), Runtimes::snapshot())
        .with_patience(patience)
        .with_allow(Allow::everything());
    contract(stand_in, account, Sdk::new(&config), server).await;
}

/// moto wants the functions' role to exist, and runs functions in docker unless told not to.
async fn prepare_moto(url: &str) {
    const ROLE: &str =
        "Action=CreateRole&Version=2010-05-08&RoleName=contract&AssumeRolePolicyDocument=%7B%7D";
    const FOR_IAM: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0";
    let http = reqwest::Client::new();
    let role = http.post(url).header("authorization", FOR_IAM).body(ROLE);
    role.header("content-type", "application/x-www-form-urlencoded")
        .send()
        .await
        .expect("moto answers");
    let config = http
        .post(format!("{url}/moto-api/config"))
        .body(r#"{"lambda":{"use_docker":false}}"#);
    config.send().await.expect("moto answers");
}

async fn contract(stand_in: StandIn, account: Account, sdk: Sdk, server: LambdaOps) {
    for (name, runtime, handler) in [
        ("contract-echo", Runtime::Python312, "app.handler"),
        ("contract-fails", Runtime::Python312, "app.fail"),
        ("contract-node", Runtime::Nodejs22x, "index.handler"),
    ] {
        make(&sdk, name, runtime, handler).await;
    }
    let client = Client::of(server).await;
    lists(&client).await;
    looks(&client).await;
    invokes(stand_in, &client).await;
    refuses(stand_in, &client, &account).await;
    updates(stand_in, &client).await;
}

/// Makes a function anew, so that the contract finds the same each time.
async fn make(sdk: &Sdk, name: &str, runtime: Runtime, handler: &str) {
    sdk.delete_function().function_name(name).send().await.ok();
    let code = FunctionCode::builder()
        .zip_file(Blob::new(include_bytes!("../functions/functions.zip")))
        .build();
    sdk.create_function()
        .function_name(name)
        .runtime(runtime)
        .handler(handler)
        .role(ROLE)
        .code(code)
        .timeout(10)
        .environment(
            Environment::builder()
                .variables("CONTRACT_SECRET", SECRET)
                .build(),
        )
        .tags("purpose", "contract")
        .send()
        .await
        .expect("the function is made");
    for _ in 0..200 {
        let now = sdk
            .get_function_configuration()
            .function_name(name)
            .send()
            .await
            .expect("it is there");
        if now.state().is_none_or(|state| state.as_str() == "Active") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} never became active");
}

async fn lists(client: &Client) {
    let listed = |functions: &[Value]| -> Vec<String> {
        let mut names: Vec<String> = functions
            .iter()
            .map(|function| function["name"].as_str().expect("a name").to_owned())
            .collect();
        names.sort_unstable();
        names
    };
    let all = ["contract-echo", "contract-fails", "contract-node"];
    for size in [1, 2, 50] {
        let arguments = json!({ "namePrefix": "contract-", "pageSize": size });
        assert_eq!(
            listed(&crate::listing::all(client, arguments).await),
            all,
            "at page size {size}"
        );
    }
    let python = json!({ "namePrefix": "contract-", "runtimeFamily": "python" });
    assert_eq!(
        listed(&crate::listing::all(client, python).await),
        ["contract-echo", "contract-fails"]
    );
    let exact = json!({ "namePrefix": "contract-", "runtime": "nodejs22.x" });
    assert_eq!(
        listed(&crate::listing::all(client, exact).await),
        ["contract-node"]
    );
}

async fn looks(client: &Client) {
    let shown = client
        .call("get-function", json!({ "functionName": "contract-echo" }))
        .await;
    assert_eq!(shown.json["runtime"], "python3.12");
    assert_eq!(shown.json["environmentVariableNames"], json!(["CONTRACT_SECRET"]));
    assert_eq!(shown.json["tags"]["purpose"], "contract");
    assert_eq!(shown.json["lastUpdateStatus"], "Successful");
    assert!(!shown.text.contains(SECRET), "the value got out");
    let text = client
        .refusal("get-function", json!({ "functionName": "contract-nobody" }))
        .await;
    assert!(
        text.contains("there is no function \"contract-nobody\""),
        "{text}"
    );
}

async fn invokes(stand_in: StandIn, client: &Client) {
    let run = |name: &str| json!({ "functionName": name, "payload": r#"{"orderId":7}"# });
    let ran = client.ok("invoke-function", run("contract-echo")).await;
    assert_eq!(ran["statusCode"], 200);
    assert!(
        ran["payload"].as_str().expect("a payload").contains("orderId"),
        "{ran}"
    );
    if stand_in.can(GivesLogs, "the end of the log comes with an invocation") {
        assert!(
            ran["logTail"].as_str().is_some_and(|log| log.contains("REPORT")),
            "{ran}"
        );
    }
    if stand_in.can(RunsFunctions, "a function that fails is an error") {
        let failed = client.call("invoke-function", run("contract-fails")).await;
        assert!(failed.is_error, "{}", failed.text);
        assert!(failed.json["functionError"].is_string(), "{}", failed.json);
    }
}

async fn refuses(stand_in: StandIn, client: &Client, account: &Account) {
    let unknown = json!({ "functionName": "contract-echo", "runtime": "python9.9" });
    let text = client.refusal("update-function-runtime", unknown).await;
    assert!(text.contains("there is no runtime"), "{text}");
    let name = FunctionName::parse("contract-echo").expect("a name");
    if stand_in.can(ChecksRevisions, "a stale revision id is refused") {
        let stale = account
            .set_runtime(&name, "python3.13", Some("00000000-0000-4000-8000-000000000000"))
            .await;
        assert!(matches!(stale, Err(account::Error::Changed { .. })), "{stale:?}");
    }
    if stand_in.can(ChecksRuntimes, "AWS itself refuses a runtime that does not exist") {
        let unknown = account.set_runtime(&name, "python9.9", None).await;
        assert!(
            matches!(unknown, Err(account::Error::Invalid { .. })),
            "{unknown:?}"
        );
    }
}

async fn updates(stand_in: StandIn, client: &Client) {
    let to =
        |name: &str, runtime: &str| json!({ "functionName": name, "runtime": runtime, "testEvent": "{}" });
    let shown = async |name: &str| {
        client.ok("get-function", json!({ "functionName": name })).await["runtime"].clone()
    };
    let updated = client
        .call("update-function-runtime", to("contract-echo", "python3.13"))
        .await;
    assert_eq!(updated.json["outcome"], "updated", "{}", updated.text);
    assert_eq!(shown("contract-echo").await, "python3.13");
    if stand_in.can(RunsFunctions, "a function that fails its test is put back") {
        let rolled_back = client
            .call("update-function-runtime", to("contract-fails", "python3.13"))
            .await;
        assert!(rolled_back.is_error);
        assert_eq!(rolled_back.json["outcome"], "rolled-back", "{}", rolled_back.text);
        assert_eq!(shown("contract-fails").await, "python3.12");
    }
}

#[test]
fn the_embedded_account_is_in_the_contracts_region() {
    assert_eq!(embedded::REGION, REGION);
}
