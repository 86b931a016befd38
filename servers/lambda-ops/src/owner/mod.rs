//! Who made a function, as far as its tags tell: the next deployment of its owner undoes what is not in the template.

mod cdk;
mod patch;

use schemars::JsonSchema;
use serde::Serialize;

pub use self::patch::Patch;
use crate::account::Tags;

/// A tool for infrastructure as code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[non_exhaustive]
pub enum Tool {
    /// AWS CloudFormation, by a template of its own.
    #[serde(rename = "cloudformation")]
    CloudFormation,
    /// AWS Serverless Application Model.
    Sam,
    /// AWS Cloud Development Kit.
    Cdk,
    /// The Serverless Framework.
    ServerlessFramework,
    /// Terraform, or OpenTofu, which nothing tells apart.
    Terraform,
    /// Pulumi.
    Pulumi,
}

/// The owner of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[non_exhaustive]
pub struct Owner {
    /// The tool that made the function.
    pub tool: Tool,
    /// The stack, where the tags name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The resource's name in the template, where the tags name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// The deployment's stage, where the Serverless Framework names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

const STACK: &str = "aws:cloudformation:stack-name";
const LOGICAL_ID: &str = "aws:cloudformation:logical-id";
const STACK_ID: &str = "aws:cloudformation:stack-id";

impl Owner {
    /// The owner that `tags` tell of. Only AWS itself can set tags that begin with `aws:`, so those of CloudFormation
    /// are proof; the others are conventions. Without any of them a function may still be owned: many Terraform and
    /// Pulumi programs leave no tags.
    #[must_use]
    pub fn of(tags: &Tags) -> Option<Self> {
        let of_cloudformation = [STACK, LOGICAL_ID, STACK_ID]
            .iter()
            .any(|key| tags.contains_key(*key));
        let tool = if of_cloudformation {
            above_cloudformation(tags)
        } else {
            by_convention(tags)?
        };
        let stage = tags
            .get("STAGE")
            .filter(|_| tool == Tool::ServerlessFramework)
            .cloned();
        Some(Self {
            tool,
            stack: tags.get(STACK).cloned(),
            logical_id: tags.get(LOGICAL_ID).cloned(),
            stage,
        })
    }

    /// What to change in the template so that `function` runs on `to` in place of `from`.
    #[must_use]
    pub fn patch(&self, function: &str, from: &str, to: &str) -> Patch {
        patch::write(self, function, from, to)
    }
}

/// Which of the tools that deploy by CloudFormation wrote the template.
fn above_cloudformation(tags: &Tags) -> Tool {
    let is = |key: &str, value: &str| {
        tags.get(key)
            .is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    if is("lambda:createdBy", "SAM") {
        Tool::Sam
    } else if tagged_by_cdk(tags) {
        Tool::Cdk
    } else if tags.contains_key("STAGE") {
        Tool::ServerlessFramework
    } else if tags.get(LOGICAL_ID).is_some_and(|id| ends_as_cdk_ends(id)) {
        Tool::Cdk
    } else {
        Tool::CloudFormation
    }
}

fn tagged_by_cdk(tags: &Tags) -> bool {
    tags.keys()
        .any(|key| key.starts_with("aws-cdk:") || key.starts_with("aws:cdk:"))
}

/// CDK ends logical ids with 8 upper-case hexadecimal digits of a hash. This is a sign, not proof: a name written by
/// hand may end so too. The cost of a mistake is a hint for the wrong language; that the stack owns it stays true.
fn ends_as_cdk_ends(logical_id: &str) -> bool {
    const DIGITS: usize = 8;
    let digits = logical_id.len().checked_sub(DIGITS).filter(|at| *at > 0);
    let end = digits.and_then(|at| logical_id.get(at..));
    end.is_some_and(|end| {
        end.bytes()
            .all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte))
    })
}

/// Tools that call AWS by themselves leave no tags; their users do, by convention.
fn by_convention(tags: &Tags) -> Option<Tool> {
    tags.iter().find_map(|(key, value)| {
        let key = key.to_ascii_lowercase();
        let value = value.trim().to_ascii_lowercase();
        match key.as_str() {
            "lambda:createdby" if value == "sam" => Some(Tool::Sam),
            "managedby" | "managed-by" | "managed_by" => match value.as_str() {
                "terraform" | "opentofu" => Some(Tool::Terraform),
                "pulumi" => Some(Tool::Pulumi),
                _ => None,
            },
            "terraform" if ["true", "terraform"].contains(&&*value) => Some(Tool::Terraform),
            "pulumi" if ["true", "pulumi"].contains(&&*value) => Some(Tool::Pulumi),
            "pulumi:project" | "pulumi:stack" => Some(Tool::Pulumi),
            key if key.starts_with("aws-cdk:") => Some(Tool::Cdk),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(tags: &[(&str, &str)]) -> Option<Owner> {
        Owner::of(
            &tags
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
        )
    }

    fn tool(tags: &[(&str, &str)]) -> Option<Tool> {
        owner(tags).map(|owner| owner.tool)
    }

    #[test]
    fn a_stack_is_told_by_the_tags_that_only_aws_can_set() {
        let stack = [(STACK, "shop-prod"), (LOGICAL_ID, "Function")];
        let wanted = Owner {
            tool: Tool::CloudFormation,
            stack: Some("shop-prod".into()),
            logical_id: Some("Function".into()),
            stage: None,
        };
        assert_eq!(owner(&stack), Some(wanted));
        assert_eq!(
            tool(&[stack[0], stack[1], ("lambda:createdBy", "SAM")]),
            Some(Tool::Sam)
        );
        let serverless = owner(&[stack[0], stack[1], ("STAGE", "prod")]).expect("an owner");
        assert_eq!(
            (serverless.tool, serverless.stage.as_deref()),
            (Tool::ServerlessFramework, Some("prod"))
        );
        assert_eq!(
            tool(&[stack[0], ("ManagedBy", "terraform")]),
            Some(Tool::CloudFormation),
            "the stack is certain, the convention is not"
        );
    }

    #[test]
    fn cdk_is_told_by_its_tags_or_the_end_of_the_logical_id() {
        assert_eq!(
            tool(&[(STACK, "s"), (LOGICAL_ID, "CheckoutApi3BAA72D1")]),
            Some(Tool::Cdk)
        );
        assert_eq!(tool(&[(STACK, "s"), ("aws-cdk:id", "x")]), Some(Tool::Cdk));
        for by_hand in ["CheckoutApi", "3BAA72D1", "CheckoutApi3baa72d1", "Function2"] {
            assert_eq!(
                tool(&[(STACK, "s"), (LOGICAL_ID, by_hand)]),
                Some(Tool::CloudFormation),
                "{by_hand}"
            );
        }
    }

    #[test]
    fn terraform_and_pulumi_are_told_by_convention() {
        for (key, value) in [
            ("ManagedBy", "Terraform"),
            ("managed-by", "terraform"),
            ("managed_by", "TERRAFORM"),
            ("Terraform", "True"),
            ("terraform", "terraform"),
        ] {
            assert_eq!(tool(&[(key, value)]), Some(Tool::Terraform), "{key}={value}");
        }
        for (key, value) in [
            ("ManagedBy", "pulumi"),
            ("Pulumi", "true"),
            ("pulumi:project", "shop"),
        ] {
            assert_eq!(tool(&[(key, value)]), Some(Tool::Pulumi), "{key}={value}");
        }
    }

    #[test]
    fn other_tags_tell_of_nobody() {
        for (key, value) in [
            ("ManagedBy", "hand"),
            ("terraform", "false"),
            ("STAGE", "prod"),
            ("team", "terraform"),
        ] {
            assert_eq!(tool(&[(key, value)]), None, "{key}={value}");
        }
    }
}
