//! The HTTP client under the connection: it sends headers and tokens to the server that was named, and to no other.

use reqwest::{
    Client, StatusCode,
    redirect::{Attempt, Policy},
};

use super::error::Error;

/// How many redirects one request may take.
const HOPS: usize = 10;

/// As rmcp's own: follows 307 and 308 on the same origin only, because other redirects lose the body of a POST, and
/// another host must not get the headers.
pub(super) fn client() -> Result<Client, Error> {
    Client::builder()
        // an idle connection whose last body was not read to its end costs a delayed ACK (40 ms) on Linux
        .pool_max_idle_per_host(0)
        .redirect(Policy::custom(|attempt| {
            if may_follow(&attempt) {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }))
        .build()
        .map_err(|error| Error::Http(Box::new(error)))
}

fn may_follow(attempt: &Attempt<'_>) -> bool {
    let keeps_the_body = matches!(
        attempt.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let same_origin = attempt
        .previous()
        .last()
        .is_some_and(|from| from.origin() == attempt.url().origin());
    keeps_the_body && same_origin && attempt.previous().len() <= HOPS
}
