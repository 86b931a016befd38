//! The tags of functions: of one for certain, of all at once for an overview.

use std::collections::BTreeMap;

use super::{Account, Error};

/// What AWS gives at most in one answer to `GetResources`.
const LARGEST_PAGE: i32 = 100;

/// The tags of one function.
pub type Tags = BTreeMap<String, String>;

impl Account {
    /// The tags of the function with this ARN. Versions and aliases have none of their own.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn tags(&self, arn: &str) -> Result<Tags, Error> {
        let arn = without_qualifier(arn);
        let call = self.call("ListTags", arn);
        let answer = self
            .client
            .list_tags()
            .resource(arn)
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        Ok(answer.tags.unwrap_or_default().into_iter().collect())
    }

    /// All tags, page by page.
    pub(super) async fn read_tagged(&self) -> Result<BTreeMap<String, Tags>, Error> {
        let call = self.call("GetResources", "");
        let found = self
            .tagging
            .get_resources()
            .resource_type_filters("lambda:function")
            .resources_per_page(LARGEST_PAGE)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| call.refused(error))?;
        let tags = |found: aws_sdk_resourcegroupstagging::types::ResourceTagMapping| {
            let tags = found.tags.unwrap_or_default().into_iter();
            (
                found.resource_arn.unwrap_or_default(),
                tags.map(|tag| (tag.key, tag.value)).collect(),
            )
        };
        Ok(found.into_iter().map(tags).collect())
    }
}

/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME` of an ARN that may go on with `:VERSION`.
fn without_qualifier(arn: &str) -> &str {
    arn.match_indices(':')
        .nth(6)
        .and_then(|(at, _)| arn.get(..at))
        .unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_of_a_version_are_those_of_its_function() {
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:orders-api";
        assert_eq!(without_qualifier(arn), arn);
        assert_eq!(without_qualifier(&format!("{arn}:7")), arn);
    }
}
