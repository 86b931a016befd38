//! What AWS says its side does, each with its source. Nothing in this file was tried against AWS itself; what is not
//! even documented, but only known by those who use it, is marked (known).

use std::time::Duration;

use tokio::time::Instant;

/// Lambda runtime API, <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.
pub(super) const RUNTIME: &str = "/2018-06-01/runtime";
/// Lambda extensions API, <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>.
pub(super) const EXTENSION: &str = "/2020-01-01/extension";

/// Headers of the runtime API; same page, and `lambda_runtime` 1.5 (`constants.rs`) for the tenant and the invocation.
pub(super) mod header {
    pub(in super::super) const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
    pub(in super::super) const DEADLINE_MS: &str = "lambda-runtime-deadline-ms";
    pub(in super::super) const FUNCTION_ARN: &str = "lambda-runtime-invoked-function-arn";
    pub(in super::super) const TRACE_ID: &str = "lambda-runtime-trace-id";
    pub(in super::super) const CLIENT_CONTEXT: &str = "lambda-runtime-client-context";
    pub(in super::super) const COGNITO_IDENTITY: &str = "lambda-runtime-cognito-identity";
    pub(in super::super) const TENANT_ID: &str = "lambda-runtime-aws-tenant-id";
    /// Sent back as it came.
    pub(in super::super) const INVOCATION_ID: &str = "lambda-runtime-invocation-id";
    pub(in super::super) const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";
    pub(in super::super) const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
    pub(in super::super) const ERROR_BODY: &str = "lambda-runtime-function-error-body";
    pub(in super::super) const EXTENSION_NAME: &str = "lambda-extension-name";
    pub(in super::super) const EXTENSION_ID: &str = "lambda-extension-identifier";
}

/// What a streamed response is called that begins with status and headers as JSON;
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html>.
pub(super) const INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
/// What ends that beginning; same page, and the response transfer modes of API Gateway.
pub(super) static DELIMITER: [u8; 8] = [0; 8];

/// The largest response of an invocation that is not streamed. Documented as 6 MB; this is the number that Lambda's own
/// error names (known). <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub(super) const RESPONSE_BYTES: usize = 6_291_556;
/// The largest response JSON that an Application Load Balancer takes.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>
pub(super) const LOAD_BALANCER_BYTES: usize = 1_048_576;

/// How long the runtime has to end after SIGTERM when an internal extension is registered: 500 ms; some of it is left
/// for the process itself. <https://github.com/aws-samples/graceful-shutdown-with-aws-lambda>
pub(super) const SHUTDOWN: Duration = Duration::from_millis(400);

/// A name under which nobody but AWS answers, so no page can be made to call it by DNS rebinding. Load balancers and
/// VPC Lattice do not say by which name they were called, as API Gateway and function URLs do. (known)
pub(super) fn is_load_balancer(host: &str) -> bool {
    let host = without_port(host);
    // NAME.REGION.elb.amazonaws.com; China ends in amazonaws.com.cn
    host.ends_with(".elb.amazonaws.com") || host.ends_with(".elb.amazonaws.com.cn")
}

/// As [`is_load_balancer`], for the names that VPC Lattice generates: `NAME.ID.vpc-lattice-svcs.REGION.on.aws`. (known)
pub(super) fn is_lattice(host: &str) -> bool {
    without_port(host)
        .strip_suffix(".on.aws")
        .and_then(|host| host.rsplit_once('.'))
        .is_some_and(|(name, _region)| name.ends_with(".vpc-lattice-svcs"))
}

/// The domain of a function URL: `ID.lambda-url.REGION.on.aws`. What has no dot is none of an HTTP API either: that is
/// how `cargo lambda watch` serves function URLs.
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>
pub(super) fn is_function_url(domain: &str) -> bool {
    domain.contains(".lambda-url.") || !domain.contains('.')
}

fn without_port(host: &str) -> &str {
    host.split_once(':').map_or(host, |(name, _port)| name)
}

/// The key in the client context under which AgentCore Gateway names the tool, and what stands between the target's
/// name and the tool's. <https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/gateway-add-target-lambda.html>
pub(super) const AGENTCORE_TOOL: &str = "bedrockAgentCoreToolName";
pub(super) const AGENTCORE_DELIMITER: &str = "___";

/// Keys of events that only keep an environment warm: the warmers that people use, and a plain ping. (known)
pub(super) const WARMERS: [&str; 3] = ["warmer", "warmup", "ping"];
/// Values of `source` that do the same: a schedule of EventBridge, and the plugin of Serverless. (known)
pub(super) const WARMING_SOURCES: [&str; 2] = ["aws.events", "serverless-plugin-warmup"];

/// Until when there must be an answer, so that it still gets out before Lambda ends the environment at `deadline`: a
/// tenth of what is left, at most half a second.
pub(super) fn answer_by(now: Instant, deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(now);
    deadline - (left / 10).min(Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_aws_answers_for_are_its_own() {
        for host in [
            "shop-1.us-east-1.elb.amazonaws.com",
            "shop-1.us-east-1.elb.amazonaws.com:443",
        ] {
            assert!(is_load_balancer(host), "{host}");
        }
        for host in [
            "elb.amazonaws.com.evil.com",
            "evil.com",
            "evilelb.amazonaws.com",
            "",
        ] {
            assert!(!is_load_balancer(host), "{host}");
        }
        assert!(is_lattice("shop-0a1.7d67968.vpc-lattice-svcs.us-east-2.on.aws"));
        for host in [
            "vpc-lattice-svcs.us-east-2.on.aws.evil.com",
            "x.lambda-url.us-east-2.on.aws",
            "evil.on.aws",
        ] {
            assert!(!is_lattice(host), "{host}");
        }
    }

    #[test]
    fn the_margin_is_a_tenth_and_never_more_than_half_a_second() {
        let now = Instant::now();
        let margin = |seconds: u64| {
            let deadline = now + Duration::from_secs(seconds);
            deadline - answer_by(now, deadline)
        };
        assert_eq!(margin(1), Duration::from_millis(100));
        assert_eq!(margin(900), Duration::from_millis(500));
        assert_eq!(margin(0), Duration::ZERO);
    }
}
