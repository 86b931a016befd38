//! Measures the talk's question over 1,000 embedded functions: one call of ours beside the seed's way, page by page.
//!
//! The seed's way is reproduced from its documented tools: `get-runtimes-info`, then `list-functions` with `MaxItems: 50`
//! until there is no marker, each result one block of text with JSON. Both run over MCP in this process against the
//! embedded account, whose answers take no time: the seconds are those of the work done here, without AWS's network and
//! without a model's turns. A model has to take a turn for each tool call.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program run by hand, which prints its figures"
)]

use std::time::{Duration, Instant};

use lambda_ops::{
    LambdaOps,
    embedded::{Embedded, REGION},
    runtimes::{Runtimes, Table},
};
use rmcp::{
    ErrorData, RoleClient, RoleServer, ServerHandler, ServiceExt,
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject},
    service::{RequestContext, RunningService},
};
use serde_json::{Value, json};

const FUNCTIONS: usize = 1000;
/// How far into the future "will soon" reaches, in days.
const SOON: i64 = 180;
/// The fastest of so many runs is told.
const RUNS: usize = 5;

/// What an answer to the question cost.
struct Cost {
    tool_calls: usize,
    aws_calls: usize,
    time: Duration,
    text: usize,
    structured: usize,
}

/// The seed's two reading tools.
#[derive(Clone)]
struct Seed(Embedded);

impl ServerHandler for Seed {
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let marker = request
            .arguments
            .as_ref()
            .and_then(|all| all.get("marker")?.as_str());
        let answer = match &*request.name {
            "get-runtimes-info" => runtimes_info(),
            _ => {
                self.list_functions(marker.filter(|marker| !marker.is_empty()))
                    .await
            }
        };
        let text = ContentBlock::text(answer.to_string());
        Ok(CallToolResult::success(vec![text]).into())
    }
}

/// The runtimes that have any date, as the seed tells them.
fn runtimes_info() -> Value {
    let dated = |runtime: &&lambda_ops::runtimes::Runtime| {
        let dates = [
            runtime.deprecation_date,
            runtime.block_function_create_date,
            runtime.block_function_update_date,
        ];
        dates.iter().any(Option::is_some)
    };
    let prose = |day: Option<jiff::civil::Date>| {
        day.map_or_else(
            || "Not scheduled".to_owned(),
            |day| day.strftime("%b %-d, %Y").to_string(),
        )
    };
    let row = |runtime: &lambda_ops::runtimes::Runtime| {
        json!({
            "name": runtime.name,
            "id": runtime.id,
            "os": runtime.os,
            "deprecationDate": prose(runtime.deprecation_date),
            "blockFunctionCreateDate": prose(runtime.block_function_create_date),
            "blockFunctionUpdateDate": prose(runtime.block_function_update_date),
        })
    };
    Table::snapshot().runtimes.iter().filter(dated).map(row).collect()
}

impl Seed {
    async fn list_functions(&self, marker: Option<&str>) -> Value {
        let page = self
            .0
            .client()
            .list_functions()
            .max_items(50)
            .set_marker(marker.map(str::to_owned))
            .send()
            .await
            .expect("a page");
        let row = |function: &aws_sdk_lambda::types::FunctionConfiguration| {
            let mut row = json!({
                "name": function.function_name(),
                "lastModified": function.last_modified(),
                "arn": function.function_arn(),
            });
            // as in the seed's language, a runtime that is not there leaves no key behind
            if let (Some(runtime), Some(object)) = (function.runtime(), row.as_object_mut()) {
                object.insert("runtime".to_owned(), json!(runtime.as_str()));
            }
            row
        };
        let functions: Vec<Value> = page.functions().iter().map(row).collect();
        match page.next_marker() {
            Some(marker) => json!({ "functions": functions, "marker": marker }),
            None => json!({ "functions": functions }),
        }
    }
}

type Client = RunningService<RoleClient, ()>;

async fn client_of(server: impl ServerHandler) -> Client {
    let (near, far) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move { server.serve(far).await.expect("it opens").waiting().await });
    ().serve(near).await.expect("it opens")
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments: JsonObject = serde_json::from_value(arguments).expect("an object");
    let asked = CallToolRequestParams::new(tool).with_arguments(arguments);
    client.call_tool(asked).await.expect("it answers")
}

impl Cost {
    fn none() -> Self {
        Self {
            tool_calls: 0,
            aws_calls: 0,
            time: Duration::ZERO,
            text: 0,
            structured: 0,
        }
    }

    /// Adds what a result gives to the model, and returns its text.
    fn add(&mut self, result: &CallToolResult) -> String {
        let texts = result.content.iter().filter_map(|block| block.as_text());
        let text: String = texts.map(|block| block.text.as_str()).collect();
        self.tool_calls += 1;
        self.text += text.len();
        self.structured += result
            .structured_content
            .as_ref()
            .map_or(0, |structured| structured.to_string().len());
        text
    }
}

async fn the_seeds_way(account: &Embedded) -> Cost {
    let client = client_of(Seed(account.clone())).await;
    let (before, begun, mut cost) = (account.calls().len(), Instant::now(), Cost::none());
    cost.add(&call(&client, "get-runtimes-info", json!({})).await);
    let mut marker = String::new();
    loop {
        let page = call(&client, "list-functions", json!({ "marker": marker })).await;
        let page: Value = serde_json::from_str(&cost.add(&page)).expect("JSON");
        match page.get("marker").and_then(Value::as_str) {
            Some(next) => next.clone_into(&mut marker),
            None => break,
        }
    }
    cost.time = begun.elapsed();
    cost.aws_calls = account.calls().len() - before;
    cost
}

async fn our_way(account: &Embedded, arguments: Value) -> (Cost, Value) {
    let client = client_of(LambdaOps::on(account, Runtimes::snapshot())).await;
    let (before, begun, mut cost) = (account.calls().len(), Instant::now(), Cost::none());
    let result = call(&client, "report-deprecated-functions", arguments).await;
    cost.time = begun.elapsed();
    cost.add(&result);
    cost.aws_calls = account.calls().len() - before;
    let report = result.structured_content.expect("structured content");
    (cost, report.get("totals").cloned().unwrap_or_default())
}

fn tell(way: &str, costs: Vec<Cost>) {
    let fastest = costs
        .into_iter()
        .min_by_key(|cost| cost.time)
        .expect("there were runs");
    println!(
        "| {way} | {} | {} | {:.3} | {} | {} |",
        fastest.tool_calls,
        fastest.aws_calls,
        fastest.time.as_secs_f64(),
        fastest.text,
        fastest.structured
    );
}

#[tokio::main]
async fn main() {
    let account = Embedded::sized(1, &[REGION], FUNCTIONS);
    let soon = account.today().saturating_add(jiff::Span::new().days(SOON));
    println!(
        "{FUNCTIONS} functions in {REGION}; it is {}, soon is before {soon}",
        account.today()
    );
    println!("| way | tool calls | AWS calls | seconds | bytes of text | bytes of structured content |");
    println!("|---|---|---|---|---|---|");
    let mut costs = Vec::new();
    for _ in 0..RUNS {
        costs.push(the_seeds_way(&account).await);
    }
    tell("the seed's, page by page", costs);
    for (way, arguments) in [
        (
            "one call, every function named",
            json!({ "deprecatedBefore": soon.to_string(), "limit": FUNCTIONS }),
        ),
        (
            "one call, 500 functions named",
            json!({ "deprecatedBefore": soon.to_string() }),
        ),
        (
            "one call, 50 functions named",
            json!({ "deprecatedBefore": soon.to_string(), "limit": 50 }),
        ),
    ] {
        let (mut costs, mut totals) = (Vec::new(), Value::Null);
        for _ in 0..RUNS {
            let (cost, found) = our_way(&account, arguments.clone()).await;
            costs.push(cost);
            totals = found;
        }
        tell(way, costs);
        println!("<!-- totals: {totals} -->");
    }
}
