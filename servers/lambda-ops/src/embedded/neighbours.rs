//! The two services beside Lambda: STS, which says who calls, and the Tagging API, which knows all tags at once.

use aws_smithy_types::base64;
use serde_json::{Value, json};

use super::{
    ACCOUNT_ID,
    answer::{Answer, Refused},
    dispatch::caller,
    operations::{body, text},
    request::Request,
    state::Region,
};

/// `GetCallerIdentity`.
pub(super) fn identity() -> Answer {
    Answer::xml(
        200,
        &format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>{}</Arn><UserId>AROAEMBEDDED:embedded</UserId><Account>{ACCOUNT_ID}</Account>\
             </GetCallerIdentityResult><ResponseMetadata><RequestId>embedded</RequestId></ResponseMetadata>\
             </GetCallerIdentityResponse>",
            caller()
        ),
    )
}

/// `GetResources`: functions that have tags, in the order of their ARNs.
pub(super) fn tagged(region: &Region, request: &Request) -> Result<Answer, Refused> {
    const LARGEST: u64 = 100;
    let body = body(request)?;
    let kinds: Vec<&str> = strings(body.get("ResourceTypeFilters")).collect();
    if !kinds.is_empty() && !kinds.contains(&"lambda:function") {
        return Ok(page(&[], ""));
    }
    let asked = body.get("ResourcesPerPage").and_then(Value::as_u64);
    let size = usize::try_from(asked.unwrap_or(50).clamp(1, LARGEST)).unwrap_or(1);
    let after = match text(&body, "PaginationToken").filter(|token| !token.is_empty()) {
        Some(token) => base64::decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| Refused::invalid("Invalid pagination token"))?,
        None => String::new(),
    };
    let filters = body.get("TagFilters").and_then(Value::as_array);
    let mut rows = region
        .functions
        .values()
        .filter(|function| function.name > after && !function.tags.is_empty())
        .filter(|function| {
            filters.is_none_or(|filters| {
                filters.iter().all(|filter| {
                    let held = text(filter, "Key").and_then(|key| function.tags.get(key));
                    let mut wanted = strings(filter.get("Values")).peekable();
                    held.is_some_and(|held| wanted.peek().is_none() || wanted.any(|value| value == held))
                })
            })
        })
        .peekable();
    let (mut shown, mut last) = (Vec::new(), "");
    while let Some(function) = rows.next_if(|_| shown.len() < size) {
        last = &function.name;
        let tags = function.tags.iter();
        let tags: Vec<Value> = tags
            .map(|(key, value)| json!({ "Key": key, "Value": value }))
            .collect();
        shown.push(json!({ "ResourceARN": function.arn(), "Tags": tags }));
    }
    let more = rows.peek().is_some();
    Ok(page(&shown, if more { last } else { "" }))
}

fn page(rows: &[Value], last: &str) -> Answer {
    let token = base64::encode(last);
    Answer::json(
        200,
        &json!({ "PaginationToken": token, "ResourceTagMappingList": rows }),
    )
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}
