//! Who called, as the door itself has found out: by an authorizer, a token that it checked, or a signature.

use std::sync::Once;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::caller::Principal;

/// Said once: a caller that an authorizer let in, and did not name.
static NAMELESS: Once = Once::new();

/// What the door says of the caller. It writes this itself; a client cannot.
#[derive(Default, Deserialize)]
struct Context {
    #[serde(default)]
    authorizer: Option<Map<String, Value>>,
    #[serde(default)]
    identity: Option<Map<String, Value>>,
}

/// The caller that a `requestContext` names.
pub(super) fn read(context: &str) -> Option<Principal> {
    let Context { authorizer, identity } = serde_json::from_str(context).unwrap_or_default();
    let authorizer = authorizer.map(Value::Object).unwrap_or_default();
    let identity = identity.map(Value::Object).unwrap_or_default();
    let text = |value: &Value, pointer: &str| {
        let found = value.pointer(pointer)?.as_str()?;
        (!found.is_empty()).then(|| found.to_owned())
    };
    // a token, whose subject is unique for its issuer (RFC 7519 §4.1.2)
    let token = |claims: &str| {
        let subject = text(&authorizer, &format!("{claims}/sub"))?;
        let issuer = text(&authorizer, &format!("{claims}/iss")).unwrap_or_default();
        Some(Principal::of_token(&issuer, &subject))
    };
    let named = |pointer: &str| {
        text(&authorizer, pointer).map(|name| Principal::new(format!("authorizer {name}")).with_subject(name))
    };
    let signed = |value: &Value, pointer: &str| {
        text(value, pointer).map(|arn| Principal::new(format!("iam {arn}")).with_subject(arn))
    };
    let pooled = |value: &Value, pointer: &str| {
        text(value, pointer).map(|id| Principal::new(format!("cognito {id}")).with_subject(id))
    };
    // HTTP API and function URL, REST API, VPC Lattice
    let found = token("/jwt/claims")
        .or_else(|| token("/claims"))
        .or_else(|| named("/lambda/principalId"))
        .or_else(|| named("/lambda/principal"))
        .or_else(|| named("/lambda/sub"))
        .or_else(|| named("/principalId"))
        // all users of an identity pool sign as one role, whose ARN they share
        .or_else(|| pooled(&authorizer, "/iam/cognitoIdentity/identityId"))
        .or_else(|| pooled(&identity, "/cognitoIdentityId"))
        .or_else(|| signed(&authorizer, "/iam/userArn"))
        .or_else(|| signed(&identity, "/userArn"))
        .or_else(|| signed(&identity, "/principal"));
    if found.is_none() && authorizer.get("lambda").is_some_and(|context| !context.is_null()) {
        NAMELESS.call_once(|| {
            tracing::warn!(
                "an authorizer let a caller in and does not say who that is; have its context say `principalId` or `sub`"
            );
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_knowing_the_caller_has_names_of_its_own() {
        for (context, name) in [
            (
                r#"{"authorizer": {"jwt": {"claims": {"iss": "https://i.example", "sub": "ada"}, "scopes": null}}}"#,
                Some("token https://i.example ada"),
            ),
            (
                r#"{"authorizer": {"claims": {"iss": "https://i.example", "sub": "ada"}}}"#,
                Some("token https://i.example ada"),
            ),
            (
                r#"{"authorizer": {"principalId": "ada", "integrationLatency": 1}}"#,
                Some("authorizer ada"),
            ),
            (
                r#"{"authorizer": {"lambda": {"principal": "ada"}}}"#,
                Some("authorizer ada"),
            ),
            (
                r#"{"authorizer": {"lambda": {"sub": "ada", "tenant": "x"}}}"#,
                Some("authorizer ada"),
            ),
            (r#"{"authorizer": {"lambda": {"tenant": "x"}}}"#, None),
            (
                r#"{"authorizer": {"iam": {"userArn": "arn:aws:iam::1:user/ada"}}}"#,
                Some("iam arn:aws:iam::1:user/ada"),
            ),
            (
                r#"{"authorizer": {"iam": {"userArn": "arn:aws:sts::1:assumed-role/r/CognitoIdentityCredentials", "cognitoIdentity": {"identityId": "eu-west-1:a"}}}}"#,
                Some("cognito eu-west-1:a"),
            ),
            (
                r#"{"identity": {"userArn": "arn:aws:sts::1:assumed-role/r/CognitoIdentityCredentials", "cognitoIdentityId": "eu-west-1:b"}}"#,
                Some("cognito eu-west-1:b"),
            ),
            (
                r#"{"authorizer": {"iam": {"userArn": "arn:aws:iam::1:user/ada", "cognitoIdentity": null}}}"#,
                Some("iam arn:aws:iam::1:user/ada"),
            ),
            (
                r#"{"identity": {"userArn": "arn:aws:iam::1:user/ada", "sourceIp": "1.2.3.4"}}"#,
                Some("iam arn:aws:iam::1:user/ada"),
            ),
            (
                r#"{"identity": {"userArn": null, "sourceIp": "1.2.3.4"}, "authorizer": null}"#,
                None,
            ),
            (r#"{"authorizer": {"principalId": ""}}"#, None),
            ("{}", None),
            ("[]", None),
        ] {
            let found = read(context);
            assert_eq!(found.as_ref().map(Principal::as_str), name, "{context}");
        }
    }
}
