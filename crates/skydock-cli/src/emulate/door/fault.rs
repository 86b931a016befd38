//! Why a door answers in the function's place.

use std::time::Duration;

use super::super::function::{Failure, Outcome, Stream, millis};
use axum::body::Bytes;

/// What a door answers itself.
#[derive(Debug, Clone)]
pub(in super::super) enum Fault {
    /// The path leads to no stage.
    NoRoute,
    /// The request's body is larger than so many bytes.
    RequestTooLarge(usize),
    /// The request ended too early.
    BrokeOff,
    /// There is no token, or none that the authorizer knows.
    Unauthorized(&'static str),
    /// The authorizer has denied the request, or allowed others only.
    Forbidden {
        /// Whether it said so.
        explicit: bool,
    },
    /// The authorizer itself failed.
    Authorizer(String),
    /// All environments are at work.
    Throttled,
    /// No answer within the time that the door waits.
    Late(Duration),
    /// The function failed.
    Failed(Failure),
    /// The function answered, and this door cannot read it.
    Malformed(String),
}

/// What a function has answered.
pub(super) enum Answer {
    Whole(Bytes),
    Stream(Stream),
}

/// The answer, if there is one.
pub(super) fn expect_answer(outcome: Outcome) -> Result<Answer, Fault> {
    match outcome {
        Outcome::Payload(payload) => Ok(Answer::Whole(payload)),
        Outcome::Stream(stream) => Ok(Answer::Stream(stream)),
        Outcome::Failed(failure) => Err(Fault::Failed(failure)),
        Outcome::Throttled => Err(Fault::Throttled),
    }
}

impl Fault {
    /// The function answered in one piece where the door wants a stream.
    pub(super) fn not_streamed() -> Self {
        Self::Malformed(
            "the function answered in one piece, and this door wants a stream; set SKYDOCK_LAMBDA_RESPONSE to streamed"
                .to_owned(),
        )
    }

    /// The function streamed where the door takes one piece.
    pub(super) fn streamed() -> Self {
        Self::Malformed(
            "the function streamed its answer, and this door takes one piece; set SKYDOCK_LAMBDA_RESPONSE to buffered"
                .to_owned(),
        )
    }

    /// What the one who tries it out wants to know, and AWS does not say to clients.
    pub(in super::super) fn explain(&self) -> String {
        match self {
            Self::NoRoute => "the path does not begin with the stage".to_owned(),
            Self::RequestTooLarge(limit) => format!("the request is larger than {limit} bytes"),
            Self::BrokeOff => "the request broke off".to_owned(),
            Self::Unauthorized(why) => (*why).to_owned(),
            Self::Forbidden { explicit: true } => "the authorizer denied it".to_owned(),
            Self::Forbidden { explicit: false } => {
                "the authorizer allowed other requests, and not this one; a policy is kept for the token, so let it name \
                 the whole stage"
                    .to_owned()
            }
            Self::Authorizer(why) => format!("the authorizer failed: {why}"),
            Self::Throttled => {
                "all environments are at work; there may be more with --environments".to_owned()
            }
            Self::Late(waited) => format!(
                "no answer within {}, which is how long this door waits",
                millis(*waited)
            ),
            Self::Failed(failure) => failure.explain(),
            Self::Malformed(why) => why.clone(),
        }
    }
}
