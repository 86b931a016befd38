//! The operations of the Lambda API that the embedded account knows, told apart by method and path.

/// An operation, under the API's own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the API reference of AWS Lambda describes each under this name"
)]
#[non_exhaustive]
pub enum Operation {
    CreateAlias,
    CreateFunction,
    DeleteAlias,
    DeleteFunction,
    GetAccountSettings,
    GetAlias,
    GetFunction,
    GetFunctionConfiguration,
    Invoke,
    ListAliases,
    ListFunctions,
    ListTags,
    ListVersionsByFunction,
    PublishVersion,
    TagResource,
    UpdateAlias,
    UpdateFunctionConfiguration,
}

/// An operation and what its path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) operation: Operation,
    /// A function's name or ARN; empty where the path has none.
    pub(super) function: &'a str,
    /// An alias; empty where the path has none.
    pub(super) alias: &'a str,
}

impl<'a> Target<'a> {
    /// What a request is for, from its method and the decoded parts of its path.
    pub(super) fn of(method: &str, path: &'a [String]) -> Option<Self> {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let target = |operation, function, alias| {
            Some(Self {
                operation,
                function,
                alias,
            })
        };
        match (method, parts.as_slice()) {
            ("GET", ["2016-08-19", "account-settings"]) => target(Operation::GetAccountSettings, "", ""),
            ("GET", ["2017-03-31", "tags", arn]) => target(Operation::ListTags, arn, ""),
            ("POST", ["2017-03-31", "tags", arn]) => target(Operation::TagResource, arn, ""),
            ("GET", ["2015-03-31", "functions"]) => target(Operation::ListFunctions, "", ""),
            ("POST", ["2015-03-31", "functions"]) => target(Operation::CreateFunction, "", ""),
            (method, ["2015-03-31", "functions", function, rest @ ..]) => {
                let (operation, alias) = below_function(method, rest)?;
                target(operation, function, alias)
            }
            _ => None,
        }
    }
}

fn below_function<'a>(method: &str, rest: &[&'a str]) -> Option<(Operation, &'a str)> {
    Some(match (method, rest) {
        ("GET", []) => (Operation::GetFunction, ""),
        ("DELETE", []) => (Operation::DeleteFunction, ""),
        ("GET", ["configuration"]) => (Operation::GetFunctionConfiguration, ""),
        ("PUT", ["configuration"]) => (Operation::UpdateFunctionConfiguration, ""),
        ("POST", ["invocations"]) => (Operation::Invoke, ""),
        ("GET", ["versions"]) => (Operation::ListVersionsByFunction, ""),
        ("POST", ["versions"]) => (Operation::PublishVersion, ""),
        ("GET", ["aliases"]) => (Operation::ListAliases, ""),
        ("POST", ["aliases"]) => (Operation::CreateAlias, ""),
        ("GET", ["aliases", alias]) => (Operation::GetAlias, alias),
        ("PUT", ["aliases", alias]) => (Operation::UpdateAlias, alias),
        ("DELETE", ["aliases", alias]) => (Operation::DeleteAlias, alias),
        _ => return None,
    })
}
