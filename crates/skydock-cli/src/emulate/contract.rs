//! What AWS does with a function and at its doors: numbers and names, each with its source. What is not documented, but
//! known by those who use it, is marked (known).

use std::time::Duration;

/// How long a function may take until it asks for its first invocation.
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>
pub(super) const INIT: Duration = Duration::from_secs(10);
/// How long a function has to end after SIGTERM, when it has an internal extension; without one it has no time at all.
/// Same page, and <https://github.com/aws-samples/graceful-shutdown-with-aws-lambda>.
pub(super) const SHUTDOWN: Duration = Duration::from_millis(500);
/// The largest event and the largest response in one piece.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>; the number of bytes is (known).
pub(super) const PAYLOAD_BYTES: usize = 6_291_556;

/// The longest that API Gateway waits for a response in one piece from a REST API.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html>
pub(super) const REST_API_WAITS: Duration = Duration::from_secs(29);
/// The longest that API Gateway waits for an HTTP API.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
pub(super) const HTTP_API_WAITS: Duration = Duration::from_secs(30);
/// The longest that a function may run, and so the longest that any other door waits; a load balancer too, whatever its
/// idle timeout: it "waits until your Lambda function responds or times out". Lambda's limits, as above.
pub(super) const FUNCTION_RUNS: Duration = Duration::from_secs(900);

/// The largest body that API Gateway takes. Its limits, as above.
pub(super) const API_GATEWAY_BYTES: usize = 10 * 1024 * 1024;
/// The largest body that a load balancer hands to a function, and the largest response that it takes of one.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>
pub(super) const LOAD_BALANCER_BYTES: usize = 1024 * 1024;

/// What a streamed response is called that begins with status and headers.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html>
pub(super) const INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
/// What ends that beginning. Same page.
pub(super) const DELIMITER: [u8; 8] = [0; 8];
/// Within so many bytes that beginning has to end.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html>
pub(super) const PRELUDE_BYTES: usize = 16 * 1024;

/// Where functions are invoked. <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
pub(super) const FUNCTIONS: &str = "/2015-03-31/functions/";

/// How long an authorizer may take. API Gateway's limits, as above.
pub(super) const AUTHORIZER_RUNS: Duration = Duration::from_secs(10);
/// How long API Gateway keeps what an authorizer said, unless it is told otherwise.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/configure-api-gateway-lambda-authorization.html>
pub(super) const AUTHORIZER_TTL: u32 = 300;
/// The longest that it keeps it. Same page.
pub(super) const AUTHORIZER_TTL_MAX: u32 = 3_600;

/// The account in names and events: the one of AWS's own examples.
pub(super) const ACCOUNT: &str = "123456789012";
