//! What was decided, in the three shapes that API Gateway reads.

use serde_json::{Value, json};

/// What was decided about one principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision<'a> {
    pub(crate) principal: &'a str,
    pub(crate) allowed: bool,
}

impl Decision<'_> {
    /// An IAM policy for all methods and paths of the stage of `arn`: API Gateway keeps a policy for the token, and uses
    /// it for whatever is called next with it.
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>
    pub(crate) fn to_policy(self, arn: &str) -> Value {
        let effect = if self.allowed { "Allow" } else { "Deny" };
        let statement =
            json!({"Action": "execute-api:Invoke", "Effect": effect, "Resource": whole_stage(arn)});
        json!({
            "principalId": self.principal,
            "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": self.context(),
        })
    }

    /// The simple response of HTTP APIs, payload format 2.0.
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>
    pub(crate) fn to_simple(self) -> Value {
        json!({"isAuthorized": self.allowed, "context": self.context()})
    }

    /// What reaches the server, in `requestContext.authorizer`: flat, because REST APIs take nothing else.
    fn context(self) -> Value {
        json!({"principal": self.principal})
    }
}

/// `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH` is one method; all of its stage is `API/STAGE/*`.
fn whole_stage(arn: &str) -> String {
    let mut parts = arn.splitn(3, '/');
    match (parts.next(), parts.next()) {
        (Some(api), Some(stage)) => format!("{api}/{stage}/*"),
        _ => arn.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_holds_for_the_whole_stage_and_names_its_principal() {
        let arn = "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/request";
        for (allowed, effect) in [(true, "Allow"), (false, "Deny")] {
            let policy = Decision {
                principal: "alice",
                allowed,
            }
            .to_policy(arn);
            let statement = &policy["policyDocument"]["Statement"][0];
            assert_eq!(policy["principalId"], "alice");
            assert_eq!(statement["Effect"], effect);
            assert_eq!(
                statement["Resource"],
                "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/*"
            );
        }
    }
}
