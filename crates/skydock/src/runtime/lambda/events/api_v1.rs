//! API Gateway REST APIs, and HTTP APIs with payload format 1.0.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use super::{Arrived, Source, Unknown, parse_event, request::Proxied};

/// Reads an event whose `requestContext` names `domain`.
///
/// # Errors
/// When the event has another shape.
pub(super) fn read(event: &[u8], source: Source, domain: Option<String>) -> Result<Arrived, Unknown> {
    let shape: Proxied = parse_event(source, event)?;
    Ok(Arrived {
        source,
        request: shape.tell(source, true)?.into_request(domain.as_deref())?,
        domain,
    })
}
