//! Application Load Balancers, with single or with multi-value headers.
//!
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>

use super::{
    Arrived, Source, Unknown, parse_event,
    request::{Proxied, own_name},
};
use crate::runtime::lambda::contract;

/// Reads an event. The answer has to have the kind of headers that the event has.
///
/// # Errors
/// When the event has another shape.
pub(super) fn read(event: &[u8]) -> Result<Arrived, Unknown> {
    let shape: Proxied = parse_event(Source::LoadBalancer { multi: false }, event)?;
    let source = Source::LoadBalancer {
        multi: shape.has_many_headers(),
    };
    // a balancer leaves the encoding of a query on
    let request = shape.tell(source, false)?.into_request(None)?;
    Ok(Arrived {
        source,
        domain: own_name(request.headers(), contract::is_load_balancer),
        request,
    })
}
