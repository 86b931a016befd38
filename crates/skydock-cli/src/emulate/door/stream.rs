//! An answer that comes piece by piece: status and headers as JSON, eight zero bytes, and then the body.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html>

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, StatusCode, header},
};
use bytes::BytesMut;
use futures::{StreamExt, stream};

use super::{
    Fault,
    reply::{self, Reply},
};
use crate::emulate::{Remark, contract, function::Stream};

/// Reads an answer that has to begin with status and headers.
///
/// # Errors
/// It does not, or breaks off before.
pub(super) async fn read(mut stream: Stream) -> Result<Response<Body>, Fault> {
    if stream.content_type != contract::INTEGRATION {
        let content_type = &stream.content_type;
        return Err(Fault::Malformed(format!(
            "the function streams {content_type}, and this door wants {}",
            contract::INTEGRATION
        )));
    }
    let mut start = BytesMut::new();
    let at = loop {
        if let Some(at) = find(&start) {
            break at;
        }
        if start.len() > contract::PRELUDE_BYTES {
            return Err(Fault::Malformed(
                "the stream has no end of its status and headers".to_owned(),
            ));
        }
        match stream.pieces.recv().await {
            Some(Ok(piece)) => start.extend_from_slice(&piece),
            Some(Err(failure)) => return Err(Fault::Failed(failure)),
            None => {
                return Err(Fault::Malformed(
                    "the stream ended before its status and headers did".to_owned(),
                ));
            }
        }
    };
    let prelude = start.split_to(at);
    let first = start.split_off(contract::DELIMITER.len()).freeze();
    let mut reply = Reply::read(&prelude)?;
    let mut headers = reply::headers(reply.headers.as_ref())?;
    headers.extend(reply::headers(reply.multi_value_headers.as_ref())?);
    reply::add_cookies(&mut headers, reply.cookies.take())?;
    let response = reply.into_response(headers)?;
    Ok(response.map(|_empty| body(first, stream)))
}

/// As [`read`], where any other stream is a body with status 200.
pub(super) async fn read_any(stream: Stream) -> Result<Response<Body>, Fault> {
    if stream.content_type == contract::INTEGRATION {
        return read(stream).await;
    }
    let content_type = HeaderValue::from_str(&stream.content_type);
    let mut response = Response::new(body(Bytes::new(), stream));
    if let Ok(content_type) = content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    Ok(response)
}

/// What is left of a stream where one piece is wanted: status and headers, and no body. Same page.
pub(super) fn head_alone(response: Response<Body>) -> Response<Body> {
    let mut response = response.map(|_unread| Body::empty());
    let remark = format!("no body: {}", Fault::streamed().explain());
    response.extensions_mut().insert(Remark(remark));
    response
}

/// An answer in one piece where a stream is wanted: nobody looks into it, so the client gets its JSON. (known)
pub(super) fn as_it_is(payload: Bytes) -> Response<Body> {
    let mut response = reply::plain(StatusCode::OK, "application/octet-stream", payload);
    response
        .extensions_mut()
        .insert(Remark(Fault::not_streamed().explain()));
    response
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(contract::DELIMITER.len())
        .position(|window| window == contract::DELIMITER)
}

/// What follows; an error within it cuts the connection.
fn body(first: Bytes, stream: Stream) -> Body {
    let rest = stream::unfold(stream.pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((
            piece.map_err(|failure| std::io::Error::other(failure.explain())),
            pieces,
        ))
    });
    let first = (!first.is_empty()).then_some(Ok(first));
    Body::from_stream(stream::iter(first).chain(rest))
}
