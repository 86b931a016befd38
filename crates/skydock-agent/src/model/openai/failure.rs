//! Why such a server did not answer, and what helps.

use std::time::Duration;

use reqwest::{Response, header, header::HeaderMap};
use serde_json::Value;

use super::{
    super::{Failure, overflow, short},
    answer::read_all,
    key::Key,
};
use crate::client::tell;

/// The longest error that is read, in bytes.
const LONGEST: usize = 64 << 10;
/// What a code or type has in it when too much was asked for.
const THROTTLED: [&str; 3] = ["rate_limit", "ratelimit", "too_many_requests"];

/// The request did not reach it, or its answer broke off.
pub(super) fn of_way(error: &reqwest::Error) -> Failure {
    Failure::Unavailable(short(&tell(error)))
}

/// Nothing came.
pub(super) fn silent(time: Duration) -> Failure {
    Failure::Unavailable(format!("the server said nothing for {time:?}"))
}

/// A status that is no success.
pub(super) async fn of_status(response: Response, key: Option<&Key>, patience: Duration) -> Failure {
    let status = response.status().as_u16();
    let after = after(response.headers());
    let url = response.url().clone();
    let to = response
        .headers()
        .get(header::LOCATION)
        .and_then(|to| to.to_str().ok())
        .map(str::to_owned);
    if let (300..400, Some(to)) = (status, to) {
        return Failure::Refused(format!(
            "{url} leads elsewhere ({status}), and a key and a conversation do not follow; name the API at {to} itself"
        ));
    }
    let body = read_all(response, LONGEST, patience).await.unwrap_or_default();
    let error = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let mut told = told(&error);
    if told.text.is_empty() {
        told.text = String::from_utf8_lossy(&body).into_owned();
    }
    if let Some(key) = key {
        told.text = key.hidden_in(&told.text);
    }
    let failure = of(Some(status), &told, after);
    match (status, failure) {
        (401, Failure::Refused(reason)) => Failure::Refused(match key {
            Some(_) => format!("{reason}. It does not take this key; give another one with --model-key"),
            None => format!(
                "{reason}. It wants a key; give one with --model-key FILE or --model-key env:VARIABLE"
            ),
        }),
        (403, Failure::Refused(reason)) => {
            Failure::Refused(format!("{reason}. The key may not use this model"))
        }
        (404 | 405, Failure::Refused(reason)) => Failure::Refused(format!(
            "{reason}. Does {url} exist there, and does the server have a model of this name?"
        )),
        (_, failure) => failure,
    }
}

/// An error in an answer that began with 200.
pub(super) fn of_event(error: &Value) -> Failure {
    let told = told(error);
    let status = told.code.parse().ok();
    match of(status, &told, None) {
        // what broke off in the middle may go better next time, unless it says why not
        Failure::Refused(reason) if status.is_none() => Failure::Unavailable(reason),
        failure => failure,
    }
}

fn of(status: Option<u16>, told: &Told, after: Option<Duration>) -> Failure {
    let reason = match (status, told.text.trim()) {
        (Some(status), "") => format!("{status} without a word"),
        (Some(status), text) => format!("{status}: {}", short(text)),
        (None, text) => short(text),
    };
    let says = |part: &str| told.code.contains(part) || told.kind.contains(part);
    match status {
        // no waiting helps when it has to be paid first
        Some(429) if says("insufficient_quota") => Failure::Refused(reason),
        Some(429) => Failure::Throttled { reason, after },
        _ if THROTTLED.iter().any(|part| says(part)) => Failure::Throttled { reason, after },
        Some(413) => Failure::Overflow(reason),
        // some servers say it with 500
        None | Some(400 | 422 | 500)
            if overflow::is_told(&format!("{} {} {}", told.code, told.kind, told.text)) =>
        {
            Failure::Overflow(reason)
        }
        Some(408 | 425 | 500..) => Failure::Unavailable(reason),
        _ => Failure::Refused(reason),
    }
}

/// What an error says.
#[derive(Debug, Default)]
struct Told {
    text: String,
    code: String,
    kind: String,
}

/// Servers write `{"error": {"message", "type", "code"}}`, `{"error": "…"}`, `{"message": …}` or `{"detail": …}`.
fn told(value: &Value) -> Told {
    let error = value
        .get("error")
        .filter(|error| !error.is_null())
        .unwrap_or(value);
    let text = |name: &str| match error.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(other @ (Value::Array(_) | Value::Object(_))) => other.to_string(),
        _ => String::new(),
    };
    let message = match error {
        Value::String(text) => text.clone(),
        _ => [text("message"), text("detail")]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
    };
    Told {
        text: message,
        code: text("code"),
        kind: text("type"),
    }
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3), or OpenAI's `retry-after-ms`. A date is not read.
fn after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    number("retry-after-ms")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(failure: &Failure) -> &'static str {
        match failure {
            Failure::Throttled { .. } => "throttled",
            Failure::Unavailable(_) => "unavailable",
            Failure::Overflow(_) => "overflow",
            Failure::Refused(_) => "refused",
        }
    }

    #[test]
    fn a_status_and_its_words_say_whether_it_helps_to_ask_again() {
        for (status, error, expected) in [
            (
                400,
                json!({"error": {"message": "m", "code": "context_length_exceeded"}}),
                "overflow",
            ),
            (
                400,
                json!({"error": {"code": 400, "message": "m", "type": "exceed_context_size_error"}}),
                "overflow",
            ),
            (
                400,
                json!({"object": "error", "message": "maximum context length is 10"}),
                "overflow",
            ),
            (400, json!({"error": {"message": "tools: wrong"}}), "refused"),
            (404, json!({"error": "model 'x' not found"}), "refused"),
            (422, json!({"detail": [{"msg": "field required"}]}), "refused"),
            (
                429,
                json!({"error": {"code": "rate_limit_exceeded"}}),
                "throttled",
            ),
            (429, json!({"error": {"code": "insufficient_quota"}}), "refused"),
            (503, json!({"error": {"message": "Loading model"}}), "unavailable"),
        ] {
            let failure = of(Some(status), &told(&error), None);
            assert_eq!(kind(&failure), expected, "{error}");
        }
    }

    #[test]
    fn an_error_in_mid_stream_is_most_often_passing() {
        for (error, expected) in [
            (json!({"message": "the server is overloaded"}), "unavailable"),
            (
                json!({"message": "m", "type": "rate_limit_exceeded"}),
                "throttled",
            ),
            (json!({"message": "prompt is too long"}), "overflow"),
            (json!({"message": "m", "code": 401}), "refused"),
            (json!("gone"), "unavailable"),
        ] {
            assert_eq!(kind(&of_event(&error)), expected, "{error}");
        }
    }
}
