//! Reading the body of a request, within its bounds.

use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http::{HeaderMap, header};
use http_body_util::BodyExt;

use super::rejection::Rejection;

/// So many times the limit is read and thrown away before a body is refused. A client that writes does not read: when
/// the connection is closed under its hands it gets an error of the socket and never sees why.
const THROWN_AWAY: usize = 4;

/// The bounds of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In bytes.
    pub(super) length: usize,
    /// From its first byte to its last.
    pub(super) time: Duration,
}

impl Bounds {
    /// Reads a body to its end.
    pub(super) async fn read(self, headers: &HeaderMap, body: Body) -> Result<Bytes, Rejection> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > self.most()) {
            return Err(Rejection::TooLarge);
        }
        let read = tokio::time::timeout(self.time, self.collect(body)).await;
        read.map_err(|_elapsed| Rejection::TooSlow)?
    }

    async fn collect(self, mut body: Body) -> Result<Bytes, Rejection> {
        let mut kept = BytesMut::new();
        let mut length = 0_usize;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                tracing::debug!(error = %error, "cannot read a body");
                Rejection::Incomplete
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            length = length.saturating_add(data.len());
            if length <= self.length {
                kept.extend_from_slice(&data);
            } else if length <= self.most() {
                kept = BytesMut::new();
            } else {
                return Err(Rejection::TooLarge);
            }
        }
        if length > self.length {
            return Err(Rejection::TooLarge);
        }
        Ok(kept.freeze())
    }

    fn most(self) -> usize {
        self.length.saturating_mul(THROWN_AWAY)
    }
}
