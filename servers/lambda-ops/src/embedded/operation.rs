//! The operations that the embedded account knows, told apart by service, method and path.

use super::request::Request;

/// Declares the operations with their service and the permission that IAM wants for them.
macro_rules! operations {
    ($($name:ident, $service:ident, $action:expr;)*) => {
        /// An operation, under the API's own name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(
            missing_docs,
            reason = "the API reference of the service describes each under this name"
        )]
        #[non_exhaustive]
        pub enum Operation { $($name),* }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The service it belongs to.
            #[must_use]
            pub fn service(self) -> Service {
                match self { $(Self::$name => Service::$service),* }
            }

            /// The permission that a caller needs for it (Service Authorization Reference); none for an operation that
            /// everybody may call.
            #[must_use]
            pub fn iam_action(self) -> Option<&'static str> {
                match self { $(Self::$name => $action),* }
            }
        }
    };
}

operations! {
    CreateAlias, Lambda, Some("lambda:CreateAlias");
    CreateFunction, Lambda, Some("lambda:CreateFunction");
    DeleteAlias, Lambda, Some("lambda:DeleteAlias");
    DeleteFunction, Lambda, Some("lambda:DeleteFunction");
    GetAccountSettings, Lambda, Some("lambda:GetAccountSettings");
    GetAlias, Lambda, Some("lambda:GetAlias");
    GetCallerIdentity, Sts, None;
    GetFunction, Lambda, Some("lambda:GetFunction");
    GetFunctionConcurrency, Lambda, Some("lambda:GetFunctionConcurrency");
    GetFunctionConfiguration, Lambda, Some("lambda:GetFunctionConfiguration");
    GetLayerVersionByArn, Lambda, Some("lambda:GetLayerVersion");
    GetResources, Tagging, Some("tag:GetResources");
    Invoke, Lambda, Some("lambda:InvokeFunction");
    ListAliases, Lambda, Some("lambda:ListAliases");
    ListEventSourceMappings, Lambda, Some("lambda:ListEventSourceMappings");
    ListFunctions, Lambda, Some("lambda:ListFunctions");
    ListTags, Lambda, Some("lambda:ListTags");
    ListVersionsByFunction, Lambda, Some("lambda:ListVersionsByFunction");
    PublishVersion, Lambda, Some("lambda:PublishVersion");
    TagResource, Lambda, Some("lambda:TagResource");
    UpdateAlias, Lambda, Some("lambda:UpdateAlias");
    UpdateFunctionConfiguration, Lambda, Some("lambda:UpdateFunctionConfiguration");
}

/// A service of AWS, which decides how answers and errors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// AWS Lambda: REST with JSON.
    Lambda,
    /// AWS Security Token Service: forms, answered in XML.
    Sts,
    /// Resource Groups Tagging API: JSON to one address, the operation in a header.
    Tagging,
}

impl Service {
    /// The service under the name that signatures use for it.
    pub(super) fn signed_as(name: &str) -> Option<Self> {
        match name {
            "lambda" => Some(Self::Lambda),
            "sts" => Some(Self::Sts),
            "tagging" => Some(Self::Tagging),
            _ => None,
        }
    }
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
    /// What a request to `service` is for.
    pub(super) fn of(service: Service, request: &'a Request) -> Option<Self> {
        let on_no_function = |operation| Self {
            operation,
            function: "",
            alias: "",
        };
        match service {
            Service::Lambda => Self::lambda(request),
            Service::Sts => {
                let asked = request.form().remove("Action");
                (asked.as_deref() == Some("GetCallerIdentity"))
                    .then(|| on_no_function(Operation::GetCallerIdentity))
            }
            Service::Tagging => {
                let asked = request.headers.get("x-amz-target").map(String::as_str);
                (asked == Some("ResourceGroupsTaggingAPI_20170126.GetResources"))
                    .then(|| on_no_function(Operation::GetResources))
            }
        }
    }

    fn lambda(request: &'a Request) -> Option<Self> {
        let parts: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let target = |operation, function, alias| {
            Some(Self {
                operation,
                function,
                alias,
            })
        };
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["2016-08-19", "account-settings"]) => target(Operation::GetAccountSettings, "", ""),
            ("GET", ["2018-10-31", "layers"]) => request
                .query
                .contains_key("Arn")
                .then(|| target(Operation::GetLayerVersionByArn, "", ""))?,
            ("GET", ["2015-03-31", "event-source-mappings"]) => {
                target(Operation::ListEventSourceMappings, "", "")
            }
            ("GET", ["2019-09-30", "functions", function, "concurrency"]) => {
                target(Operation::GetFunctionConcurrency, function, "")
            }
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
