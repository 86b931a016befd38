//! What callers ask for, looked at before anything is done: versions, extensions, messages, pages.

use std::time::Duration;

use ::a2a::{
    A2AError, AgentCard, FieldViolation, ListTasksRequest, Message, Part, Role, SVC_PARAM_EXTENSIONS,
    SVC_PARAM_VERSION, Task, TaskState, TypedDetail, error_code,
};
use a2a_server::middleware::ServiceParams;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::store::{Cursor, Filter};

/// The version that is spoken here (specification 3.6).
const MAJOR: &str = "1";
/// What a caller speaks who does not say (specification 3.6.2).
const UNSAID: &str = "0.3";
/// How many tasks a page has when the caller does not say, and at most (specification 3.1.4).
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 100;
/// The most bytes of a name that a caller gives.
const NAME: usize = 256;

fn all<'a>(params: &'a ServiceParams, name: &str) -> impl Iterator<Item = &'a str> {
    let values = params.get(&name.to_ascii_lowercase());
    let values = values.into_iter().flatten().flat_map(|value| value.split(','));
    values.map(str::trim).filter(|value| !value.is_empty())
}

/// Whether the caller speaks what is spoken here, as `Major.Minor` (specification 3.6.2).
pub(super) fn version(params: &ServiceParams) -> Result<(), A2AError> {
    let asked = all(params, SVC_PARAM_VERSION).next().unwrap_or(UNSAID);
    let mut numbers = asked.split('.');
    let spoken = numbers.next() == Some(MAJOR)
        && numbers.all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    if spoken {
        return Ok(());
    }
    Err(A2AError::new(
        error_code::VERSION_NOT_SUPPORTED,
        format!("A2A {asked:?} is not spoken here; send A2A-Version: 1.0 (without the header, 0.3 is meant)"),
    ))
}

/// Whether the caller knows the extensions without which the agent cannot be asked (specification 3.3.4).
pub(super) fn extensions(card: &AgentCard, params: &ServiceParams) -> Result<(), A2AError> {
    let required = card.capabilities.extensions.iter().flatten();
    for extension in required.filter(|extension| extension.required == Some(true)) {
        if !all(params, SVC_PARAM_EXTENSIONS).any(|known| known == extension.uri) {
            return Err(A2AError::new(
                error_code::EXTENSION_SUPPORT_REQUIRED,
                format!(
                    "this agent needs the extension {}; name it in A2A-Extensions",
                    extension.uri
                ),
            ));
        }
    }
    Ok(())
}

fn violation(field: &str, description: &str) -> A2AError {
    let violation = FieldViolation {
        field: field.to_owned(),
        description: description.to_owned(),
    };
    A2AError::invalid_params(format!("{field}: {description}"))
        .with_details(vec![TypedDetail::bad_request(vec![violation])])
}

/// Whether this can be answered at all.
pub(super) fn message(message: &Message, card: &AgentCard) -> Result<(), A2AError> {
    if message.message_id.is_empty() {
        return Err(violation(
            "message.messageId",
            "it is empty; give each message an id",
        ));
    }
    if message.role != Role::User {
        return Err(violation(
            "message.role",
            "a message to an agent is from ROLE_USER",
        ));
    }
    // a part without content has become an empty text on its way here
    let is_empty = |part: &Part| part.as_text().is_some_and(|text| text.trim().is_empty());
    if message.parts.iter().all(is_empty) {
        return Err(violation(
            "message.parts",
            "there is nothing to answer; send at least one part that is not empty",
        ));
    }
    let names = [
        ("message.messageId", Some(&message.message_id)),
        ("message.contextId", message.context_id.as_ref()),
        ("message.taskId", message.task_id.as_ref()),
    ];
    for (field, name) in names {
        if name.is_some_and(|name| name.len() > NAME) {
            return Err(violation(field, "it is longer than 256 bytes"));
        }
    }
    let modes = &card.default_input_modes;
    let taken = |media: &str| {
        let essence = media.split(';').next().unwrap_or_default().trim();
        modes
            .iter()
            .any(|mode| mode.eq_ignore_ascii_case(essence) || mode == "*/*")
    };
    for part in &message.parts {
        if let Some(media) = part.media_type.as_deref().filter(|media| !media.is_empty())
            && !taken(media)
        {
            return Err(A2AError::new(
                error_code::CONTENT_TYPE_NOT_SUPPORTED,
                format!("{media} is not taken here; these are: {}", modes.join(", ")),
            ));
        }
    }
    Ok(())
}

/// Cuts what was said before to its last `length` messages (specification 3.2.4).
pub(super) fn cut(task: &mut Task, length: Option<i32>) -> Result<(), A2AError> {
    let Some(length) = length else { return Ok(()) };
    let length =
        usize::try_from(length).map_err(|_negative| violation("historyLength", "it is less than 0"))?;
    if length == 0 {
        task.history = None;
    }
    if let Some(history) = &mut task.history {
        history.drain(..history.len().saturating_sub(length));
    }
    Ok(())
}

/// Which tasks a caller wants to have listed.
pub(super) fn filter(request: &ListTasksRequest) -> Result<Filter, A2AError> {
    let size = match request.page_size {
        None | Some(0) => PAGE,
        Some(size) => usize::try_from(size)
            .map_err(|_negative| violation("pageSize", "it is less than 0"))?
            .min(LONGEST_PAGE),
    };
    let token = request.page_token.as_deref().filter(|token| !token.is_empty());
    let cursor = token.map(|token| {
        cursor(token).ok_or_else(|| violation("pageToken", "it is not one that was given here"))
    });
    let after = request
        .status_timestamp_after
        .and_then(|after| Timestamp::from_microsecond(after.timestamp_micros()).ok());
    Ok(Filter {
        context: request.context_id.clone().filter(|context| !context.is_empty()),
        state: request
            .status
            .clone()
            .filter(|state| *state != TaskState::Unspecified),
        after,
        cursor: cursor.transpose()?,
        size,
    })
}

fn cursor(token: &str) -> Option<Cursor> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (at, id) = text.split_once(' ')?;
    Some(Cursor {
        at: at.parse().ok()?,
        id: id.to_owned(),
    })
}

/// The token of a place in a list.
pub(super) fn token(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", cursor.at, cursor.id))
}

/// How long a task waits for its first worker before others look for it.
pub(super) const fn grace(elsewhere: bool) -> Duration {
    Duration::from_secs(if elsewhere { 60 } else { 5 })
}
