//! A Lambda authorizer in front of a door of API Gateway: asked with a token or a whole request, and what it says is kept.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::header;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::{
    contract,
    door::{Asked, Door, Fault, Site},
    function::{Function, Invocation, Outcome},
};

/// How many answers are kept, at most.
const KEPT: usize = 10_000;

/// What a REST API's authorizer is asked with. That of an HTTP API always gets the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The Authorization header alone
    Token,
    /// The whole request
    Request,
}

/// An authorizer, and what it has said.
pub(super) struct Authorizer {
    function: Arc<Function>,
    kind: Kind,
    ttl: Duration,
    kept: Mutex<BTreeMap<String, (Instant, Value)>>,
}

impl Authorizer {
    pub(super) fn new(function: Arc<Function>, kind: Kind, ttl: Duration) -> Self {
        Self {
            function,
            kind,
            ttl,
            kept: Mutex::default(),
        }
    }

    pub(super) const fn function(&self) -> &Arc<Function> {
        &self.function
    }

    /// What the authorizer passes on to the function with a request that it lets through.
    ///
    /// # Errors
    /// It does not let it through, or fails.
    pub(super) async fn pass(&self, door: Door, site: &Site, asked: &Asked) -> Result<Value, Fault> {
        if asked
            .headers
            .get_all(header::AUTHORIZATION)
            .iter()
            .nth(1)
            .is_some()
        {
            // which of them is meant, the one who keeps the answer and the one who gives it could see differently
            return Err(Fault::Unauthorized("there are several Authorization headers"));
        }
        // the identity source: without it nobody is asked
        let Some(token) = asked
            .header(&header::AUTHORIZATION)
            .filter(|token| !token.is_empty())
        else {
            return Err(Fault::Unauthorized(
                "there is no Authorization header, so the authorizer was not asked",
            ));
        };
        if let Some(said) = self.kept(token) {
            return judge(door, &arn(site, asked), &said);
        }
        let event = if door == Door::ApigwV2 {
            request_v2(door, site, asked, token)
        } else {
            request_v1(self.kind, door, site, asked, token)
        };
        let invocation = Invocation {
            event: event.to_string().into(),
            client_context: None,
            trace_id: asked.trace_id.clone(),
        };
        let said = match self.function.invoke(invocation).await {
            Outcome::Payload(payload) => serde_json::from_slice(&payload)
                .map_err(|error| Fault::Authorizer(format!("its answer is no JSON: {error}")))?,
            // documented for REST APIs only
            Outcome::Failed(failure) if failure.message() == "Unauthorized" && door != Door::ApigwV2 => {
                return Err(Fault::Unauthorized("the authorizer said Unauthorized"));
            }
            Outcome::Failed(failure) => return Err(Fault::Authorizer(failure.explain())),
            Outcome::Throttled => {
                return Err(Fault::Authorizer("all its environments are at work".to_owned()));
            }
            Outcome::Stream(_) => return Err(Fault::Authorizer("it streamed its answer".to_owned())),
        };
        let judged = judge(door, &arn(site, asked), &said);
        if !self.ttl.is_zero() && !matches!(judged, Err(Fault::Authorizer(_))) {
            self.keep(token, said);
        }
        judged
    }

    fn kept(&self, token: &str) -> Option<Value> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, said) = kept.get(token)?;
        (*until > Instant::now()).then(|| said.clone())
    }

    fn keep(&self, token: &str, said: Value) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if kept.len() >= KEPT {
            kept.retain(|_token, (until, _said)| *until > now);
        }
        if kept.len() < KEPT {
            kept.insert(token.to_owned(), (now + self.ttl, said));
        }
    }
}

/// `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`.
fn arn(site: &Site, asked: &Asked) -> String {
    format!(
        "arn:aws:execute-api:{}:{}:{}/{}/{}{}",
        site.region,
        contract::ACCOUNT,
        super::door::ID,
        site.stage,
        asked.method,
        asked.path
    )
}

fn request_v1(kind: Kind, door: Door, site: &Site, asked: &Asked, token: &str) -> Value {
    let arn = arn(site, asked);
    if kind == Kind::Token {
        return json!({"type": "TOKEN", "authorizationToken": token, "methodArn": arn});
    }
    let mut event = door.event(site, asked, None);
    if let Some(event) = event.as_object_mut() {
        event.remove("body");
        event.remove("isBase64Encoded");
        event.insert("type".to_owned(), "REQUEST".into());
        event.insert("methodArn".to_owned(), arn.into());
    }
    event
}

fn request_v2(door: Door, site: &Site, asked: &Asked, token: &str) -> Value {
    let mut event = door.event(site, asked, None);
    if let Some(event) = event.as_object_mut() {
        event.remove("body");
        event.remove("isBase64Encoded");
        event.insert("type".to_owned(), "REQUEST".into());
        event.insert("routeArn".to_owned(), arn(site, asked).into());
        event.insert("identitySource".to_owned(), json!([token]));
    }
    event
}

/// What an answer means for the request of this ARN.
fn judge(door: Door, arn: &str, said: &Value) -> Result<Value, Fault> {
    if let Some(allowed) = said.get("isAuthorized").filter(|_| door == Door::ApigwV2) {
        let context = said.get("context").cloned().unwrap_or_else(|| json!({}));
        return match allowed.as_bool() {
            Some(true) => Ok(context),
            Some(false) => Err(Fault::Forbidden { explicit: true }),
            None => Err(Fault::Authorizer(
                "its isAuthorized is neither true nor false".to_owned(),
            )),
        };
    }
    let malformed = |why: &str| Fault::Authorizer(format!("its answer is no policy: {why}"));
    let principal = said.get("principalId").and_then(Value::as_str);
    let principal = principal.ok_or_else(|| malformed("it has no principalId"))?;
    let statements = said
        .pointer("/policyDocument/Statement")
        .ok_or_else(|| malformed("it has no policyDocument with a Statement"))?;
    let statements = match statements {
        Value::Array(statements) => statements.as_slice(),
        one => std::slice::from_ref(one),
    };
    let effects: Vec<&str> = statements
        .iter()
        .filter(|statement| {
            names(statement, "Action", "execute-api:Invoke") && names(statement, "Resource", arn)
        })
        .filter_map(|statement| statement.get("Effect")?.as_str())
        .collect();
    let explicit = effects.contains(&"Deny");
    if explicit || !effects.contains(&"Allow") {
        return Err(Fault::Forbidden { explicit });
    }
    if door == Door::ApigwV2 {
        return Ok(said.get("context").cloned().unwrap_or_else(|| json!({})));
    }
    let mut context = Map::new();
    context.insert("principalId".to_owned(), principal.into());
    // how long it took, which nobody depends on
    context.insert("integrationLatency".to_owned(), 0.into());
    for (key, value) in said
        .get("context")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => {
                return Err(malformed(&format!(
                    "its context has {key:?}, which is no text, number or truth value"
                )));
            }
        };
        context.insert(key.clone(), text.into());
    }
    Ok(context.into())
}

/// Whether one of the statement's patterns for `key` fits.
fn names(statement: &Value, key: &str, value: &str) -> bool {
    let patterns = match statement.get(key) {
        Some(Value::Array(patterns)) => patterns.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    patterns
        .iter()
        .filter_map(Value::as_str)
        .any(|pattern| fits(pattern, value))
}

/// `*` stands for any text, `?` for one character.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>
fn fits(pattern: &str, value: &str) -> bool {
    let mut escaped = String::with_capacity(pattern.len());
    for letter in pattern.chars() {
        // all else that has a meaning in a glob has none in a policy
        if matches!(letter, '[' | ']' | '{' | '}' | '!' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    globset::Glob::new(&escaped).is_ok_and(|glob| glob.compile_matcher().is_match(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/POST/mcp";

    fn policy(effect: &str, resource: &str) -> Value {
        let statement = json!({"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource});
        json!({"principalId": "alice", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": {"number": 1}})
    }

    #[test]
    fn a_policy_holds_for_what_it_names() {
        let stage = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/*";
        let passed = judge(Door::ApigwV1, ARN, &policy("Allow", stage)).unwrap();
        assert_eq!(
            passed,
            json!({"principalId": "alice", "integrationLatency": 0, "number": "1"})
        );
        let other = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/GET/mcp";
        for (effect, resource) in [
            ("Allow", other),
            ("Deny", "*"),
            ("Allow", "arn:aws:execute-api:*/prod/POST/m?"),
        ] {
            let judged = judge(Door::ApigwV1, ARN, &policy(effect, resource));
            assert!(
                matches!(judged, Err(Fault::Forbidden { .. })),
                "{effect} {resource}: {judged:?}"
            );
        }
        assert!(
            judge(
                Door::ApigwV1,
                ARN,
                &policy("Allow", "arn:aws:*:a1b2c3d4e5/prod/*/mc?")
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_no_policy_is_a_fault_of_the_authorizer() {
        let mut without = policy("Deny", "*");
        without.as_object_mut().unwrap().remove("principalId");
        let mut nested = policy("Allow", "*");
        nested["context"] = json!({"roles": ["a"]});
        for said in [without, nested, json!({}), json!(null)] {
            let judged = judge(Door::ApigwV1, ARN, &said);
            assert!(matches!(judged, Err(Fault::Authorizer(_))), "{said}: {judged:?}");
        }
        // only an HTTP API reads the simple form
        assert!(matches!(
            judge(Door::ApigwV1, ARN, &json!({"isAuthorized": true})),
            Err(Fault::Authorizer(_))
        ));
        assert!(judge(Door::ApigwV2, ARN, &json!({"isAuthorized": true})).is_ok());
        assert!(matches!(
            judge(Door::ApigwV2, ARN, &json!({"isAuthorized": false})),
            Err(Fault::Forbidden { .. })
        ));
    }
}
