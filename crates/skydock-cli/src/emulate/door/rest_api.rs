//! API Gateway REST APIs, with a Lambda proxy integration at `/{proxy+}`.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::{
    Asked, Door, Fault, ID, Site, headers,
    reply::{self, Reply},
};
use crate::emulate::contract;

/// What an answer may have; anything else makes it malformed. Same page, "output format". (known)
const KEYS: [&str; 5] = [
    "statusCode",
    "headers",
    "multiValueHeaders",
    "body",
    "isBase64Encoded",
];

/// The event of a request.
pub(super) fn event(site: &Site, asked: &Asked, authorizer: Option<&Value>) -> Value {
    let (query, many_query) = queries(&asked.query);
    let domain = Door::ApigwV1.domain(site);
    // binary media types are none unless they are set up, so all is text
    let body = String::from_utf8_lossy(&asked.body);
    let body = (!body.is_empty()).then_some(body);
    let mut context = json!({
        "accountId": contract::ACCOUNT,
        "apiId": ID,
        "domainName": domain,
        "domainPrefix": ID,
        "extendedRequestId": asked.id,
        "httpMethod": asked.method.as_str(),
        "identity": {
            "accessKey": null, "accountId": null, "caller": null, "sourceIp": asked.client.to_string(), "user": null,
            "userAgent": asked.header(&header::USER_AGENT), "userArn": null,
        },
        "path": asked.raw_path,
        "protocol": "HTTP/1.1",
        "requestId": asked.id,
        "requestTime": asked.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "requestTimeEpoch": asked.at.as_millisecond(),
        "resourceId": "a1b2c3",
        "resourcePath": "/{proxy+}",
        "stage": site.stage,
    });
    if let (Some(authorizer), Some(context)) = (authorizer, context.as_object_mut()) {
        context.insert("authorizer".to_owned(), authorizer.clone());
    }
    json!({
        "resource": "/{proxy+}",
        "path": asked.path,
        "httpMethod": asked.method.as_str(),
        "headers": headers::passing(asked.single_headers(false)),
        "multiValueHeaders": headers::passing(asked.many_headers()),
        "queryStringParameters": query,
        "multiValueQueryStringParameters": many_query,
        "pathParameters": {"proxy": asked.path.trim_start_matches('/')},
        "stageVariables": null,
        "requestContext": context,
        "body": body,
        "isBase64Encoded": false,
    })
}

/// The query, decoded: each name with its last value, and with all; nothing when there is none.
fn queries(query: &str) -> (Value, Value) {
    let url = Url::parse(&format!("http://door/?{query}"));
    let (mut single, mut many) = (Map::new(), Map::new());
    if let Ok(url) = &url {
        for (name, value) in url.query_pairs() {
            single.insert(name.to_string(), value.to_string().into());
            let values = many.entry(name.to_string()).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(value.to_string().into());
            }
        }
    }
    if single.is_empty() {
        (Value::Null, Value::Null)
    } else {
        (single.into(), many.into())
    }
}

/// The response for an answer in one piece.
pub(super) fn answer(payload: &[u8]) -> Result<Response<Body>, Fault> {
    let reply = Reply::read_strictly(payload, &KEYS)?;
    let mut written = reply::headers(reply.headers.as_ref())?;
    // a name in both stands for the values of the list
    let many = reply::headers(reply.multi_value_headers.as_ref())?;
    for name in many.keys() {
        written.remove(name);
    }
    written.extend(many);
    reply.into_response(written).map(headers::remap)
}

/// The door's own response.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>
///
/// What the function answers wrongly has the status `malformed`: 502, and 500 where it is streamed.
pub(super) fn refuse(fault: &Fault, malformed: StatusCode) -> Response<Body> {
    let (status, text, kind) = match fault {
        Fault::NoRoute => (StatusCode::FORBIDDEN, "Forbidden", "ForbiddenException"),
        Fault::RequestTooLarge(_) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "Request Too Long",
            "RequestTooLargeException",
        ),
        Fault::BrokeOff => (StatusCode::BAD_REQUEST, "Bad Request", "BadRequestException"),
        Fault::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "Unauthorized", "UnauthorizedException"),
        Fault::Forbidden { explicit } => {
            let text = if *explicit {
                "User is not authorized to access this resource with an explicit deny in an identity-based policy"
            } else {
                "User is not authorized to access this resource"
            };
            let response = reply::message(StatusCode::FORBIDDEN, "Message", text);
            return with_type(response, "AccessDeniedException");
        }
        Fault::Authorizer(_) => {
            let response = reply::message(StatusCode::INTERNAL_SERVER_ERROR, "message", Value::Null);
            return with_type(response, "AuthorizerConfigurationException");
        }
        Fault::Late(_) => (
            StatusCode::GATEWAY_TIMEOUT,
            "Endpoint request timed out",
            "InternalServerErrorException",
        ),
        Fault::Throttled => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal server error",
            "InternalServerErrorException",
        ),
        Fault::Failed(_) => (
            StatusCode::BAD_GATEWAY,
            "Internal server error",
            "InternalServerErrorException",
        ),
        Fault::Malformed(_) => (malformed, "Internal server error", "InternalServerErrorException"),
    };
    with_type(reply::message(status, "message", text), kind)
}

fn with_type(mut response: Response<Body>, kind: &'static str) -> Response<Body> {
    response.headers_mut().insert(
        HeaderName::from_static("x-amzn-errortype"),
        HeaderValue::from_static(kind),
    );
    response
}
