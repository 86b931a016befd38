//! DynamoDB, as Amazon's DynamoDB Local and as ministack have it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    ministack,
    program::{self, Program},
    tools,
};

const REGION: &str = "eu-central-1";
const KEY: &str = "test";
/// How long a table may take until it is active.
const ACTIVE: Duration = Duration::from_secs(30);
/// How often that is looked up. There is no event to wait for.
const AGAIN: Duration = Duration::from_millis(50);

/// A DynamoDB with nothing in it.
#[derive(Debug)]
pub struct DynamoDb {
    program: Program,
    client: Client,
}

impl DynamoDb {
    /// DynamoDB Local, in memory. It takes items away soon after they expire.
    ///
    /// # Errors
    /// It or Java is not installed, or it does not start.
    pub async fn local() -> Result<Self> {
        let java = tools::machine("java")?;
        let emulator = tools::script("amplify-dynamodb-simulator/emulator")?;
        let settings = tools::workspace().join("checks/tools/dynamodb.xml");
        let start = |addr: SocketAddr| {
            let mut command = program::command(&java);
            command
                .current_dir(&emulator)
                // it lives for seconds: what pays off later is left out
                .arg("-XX:TieredStopAtLevel=1")
                .arg("-Djava.library.path=DynamoDBLocal_lib")
                .args(["-cp", "DynamoDBLocal.jar:DynamoDBLocal_lib/*"])
                .arg("org.eclipse.jetty.xml.XmlConfiguration")
                .arg(&settings)
                .arg(format!("port={}", addr.port()));
            command
        };
        let client = Client::new();
        let ready = |addr| {
            let client = client.clone();
            async move { ask(&client, addr, "ListTables", &json!({})).await.is_ok() }
        };
        let program = Program::start_when(start, ready).await?;
        Ok(Self { program, client })
    }

    /// The one of ministack, with a home of its own under `target/tools`.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn ministack(home: &str) -> Result<Self> {
        let program = ministack::start(home).await?;
        let client = Client::new();
        Ok(Self { program, client })
    }

    /// The process, to pause it or to end it.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        self.program.url("")
    }

    /// What a program needs in its environment to use it.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL_DYNAMODB", self.url()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
        ]
    }

    /// Makes a table of items with the keys `pk` and `sk`, which go when the time in `expires` is over.
    ///
    /// # Errors
    /// There is one of this name, or it does not become active in time.
    pub async fn create_table(&self, name: &str) -> Result<()> {
        let table = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                { "AttributeName": "pk", "AttributeType": "S" },
                { "AttributeName": "sk", "AttributeType": "S" }
            ],
            "KeySchema": [
                { "AttributeName": "pk", "KeyType": "HASH" },
                { "AttributeName": "sk", "KeyType": "RANGE" }
            ]
        });
        self.ask("CreateTable", &table).await?;
        let deadline = Instant::now() + ACTIVE;
        loop {
            let told = self.ask("DescribeTable", &json!({ "TableName": name })).await?;
            if told.pointer("/Table/TableStatus") == Some(&json!("ACTIVE")) {
                break;
            }
            ensure!(Instant::now() < deadline, "{name} is not active: {told}");
            sleep(AGAIN).await;
        }
        let expiry = json!({ "Enabled": true, "AttributeName": "expires" });
        let expiry = json!({ "TableName": name, "TimeToLiveSpecification": expiry });
        self.ask("UpdateTimeToLive", &expiry).await?;
        Ok(())
    }

    /// Sends one request of the API, such as `Scan`.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn ask(&self, operation: &str, request: &Value) -> Result<Value> {
        ask(&self.client, self.program.addr(), operation, request).await
    }

    /// Ends it in the ordinary way.
    ///
    /// # Errors
    /// It has ended already, or does not end in time.
    pub async fn stop(self) -> Result<()> {
        self.program.stop().await?;
        Ok(())
    }
}

/// Neither stand-in checks a signature; they only read in it who asks, and in which region.
async fn ask(client: &Client, addr: SocketAddr, operation: &str, request: &Value) -> Result<Value> {
    let scope = format!("Credential={KEY}/20260101/{REGION}/dynamodb/aws4_request");
    let signed = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
    let answered = client
        .post(format!("http://{addr}/"))
        .header("authorization", signed)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .body(request.to_string())
        .send()
        .await?;
    let status = answered.status();
    let text = answered.text().await?;
    ensure!(status.is_success(), "{operation}: {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{operation}: {text}"))
}
