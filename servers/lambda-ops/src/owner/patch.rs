//! The change that belongs in the template, as a small diff, and the command that deploys it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Owner, Tool, cdk};

/// What to change, where, and how to bring it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[non_exhaustive]
pub struct Patch {
    /// Whose template it is.
    pub tool: Tool,
    /// In which file, as far as can be guessed from here.
    pub file: String,
    /// The lines to change, as a unified diff without line numbers: nobody but the owner has the file.
    pub diff: String,
    /// The command that deploys the change.
    pub deploy: String,
}

pub(super) fn write(owner: &Owner, function: &str, from: &str, to: &str) -> Patch {
    // Names go into a command that somebody may paste: tags are written by anybody.
    let stack = plain(owner.stack.as_deref()).unwrap_or("STACK");
    let id = plain(owner.logical_id.as_deref()).unwrap_or("LOGICAL_ID");
    let (file, diff, deploy) = match owner.tool {
        Tool::CloudFormation => (
            "the stack's template",
            template("template.yaml", id, "AWS::Lambda::Function", from, to),
            format!("aws cloudformation deploy --stack-name {stack} --template-file template.yaml"),
        ),
        Tool::Sam => (
            "template.yaml (Runtime may stand under Globals.Function, and then holds for every function)",
            template("template.yaml", id, "AWS::Serverless::Function", from, to),
            format!("sam build && sam deploy --stack-name {stack}"),
        ),
        Tool::Cdk => (
            "the stack's source; one of the two, by its language (a constant that is missing needs a newer aws-cdk-lib)",
            of_cdk(from, to),
            format!("cdk diff {stack} && cdk deploy {stack}"),
        ),
        Tool::ServerlessFramework => (
            "serverless.yml (runtime may stand under provider, and then holds for every function)",
            of_serverless(function, from, to),
            match plain(owner.stage.as_deref()) {
                Some(stage) => format!("serverless deploy --stage {stage}"),
                None => "serverless deploy".to_owned(),
            },
        ),
        Tool::Terraform => (
            "the .tf file with this aws_lambda_function, or the variables of its module",
            of_terraform(function, from, to),
            "terraform plan -out=tfplan && terraform apply tfplan".to_owned(),
        ),
        Tool::Pulumi => (
            "the program with this function",
            of_pulumi(function, from, to),
            "pulumi preview && pulumi up".to_owned(),
        ),
    };
    Patch {
        tool: owner.tool,
        file: file.to_owned(),
        diff,
        deploy,
    }
}

/// A name that a shell and a template take as it is.
fn plain(name: Option<&str>) -> Option<&str> {
    let lawful = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.filter(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(lawful))
}

fn template(file: &str, id: &str, kind: &str, from: &str, to: &str) -> String {
    format!(
        "--- {file}\n+++ {file}\n@@ Resources @@\n   {id}:\n     Type: {kind}\n     Properties:\n\
         -      Runtime: {from}\n+      Runtime: {to}\n"
    )
}

fn of_cdk(from: &str, to: &str) -> String {
    let (old, new) = (cdk::constant(from), cdk::constant(to));
    format!(
        "--- TypeScript\n+++ TypeScript\n@@ new lambda.Function @@\n\
         -      runtime: lambda.Runtime.{old},\n+      runtime: lambda.Runtime.{new},\n\
         --- Python\n+++ Python\n@@ lambda_.Function @@\n\
         -            runtime=lambda_.Runtime.{old},\n+            runtime=lambda_.Runtime.{new},\n"
    )
}

fn of_serverless(function: &str, from: &str, to: &str) -> String {
    format!(
        "--- serverless.yml\n+++ serverless.yml\n@@ functions, deployed as {function} @@\n\
         -    runtime: {from}\n+    runtime: {to}\n"
    )
}

fn of_terraform(function: &str, from: &str, to: &str) -> String {
    format!(
        "--- main.tf\n+++ main.tf\n@@ resource \"aws_lambda_function\" @@\n   function_name = \"{function}\"\n\
         -  runtime       = \"{from}\"\n+  runtime       = \"{to}\"\n"
    )
}

fn of_pulumi(function: &str, from: &str, to: &str) -> String {
    format!(
        "--- TypeScript\n+++ TypeScript\n@@ new aws.lambda.Function, deployed as {function} @@\n\
         -    runtime: \"{from}\",\n+    runtime: \"{to}\",\n\
         --- Python\n+++ Python\n@@ aws.lambda_.Function, deployed as {function} @@\n\
         -    runtime=\"{from}\",\n+    runtime=\"{to}\",\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(tool: Tool) -> Patch {
        let owner = Owner {
            tool,
            stack: Some("shop-prod".into()),
            logical_id: Some("OrdersApi".into()),
            stage: Some("prod".into()),
        };
        owner.patch("orders-api", "nodejs18.x", "nodejs22.x")
    }

    /// What a diff takes out and what it puts in.
    fn lines(patch: &Patch, sign: &str) -> Vec<String> {
        let header = ["---", "+++"];
        let changed = patch
            .diff
            .lines()
            .filter(|line| line.starts_with(sign) && !header.iter().any(|sign| line.starts_with(sign)));
        changed.map(|line| line[1..].trim().to_owned()).collect()
    }

    #[test]
    fn templates_change_under_the_logical_id() {
        for (tool, kind, command) in [
            (
                Tool::CloudFormation,
                "AWS::Lambda::Function",
                "aws cloudformation deploy --stack-name shop-prod",
            ),
            (
                Tool::Sam,
                "AWS::Serverless::Function",
                "sam deploy --stack-name shop-prod",
            ),
        ] {
            let patch = patch(tool);
            assert_eq!(lines(&patch, "-"), ["Runtime: nodejs18.x"]);
            assert_eq!(lines(&patch, "+"), ["Runtime: nodejs22.x"]);
            assert_eq!(
                lines(&patch, " "),
                ["OrdersApi:", &format!("Type: {kind}"), "Properties:"]
            );
            assert!(patch.deploy.contains(command), "{}", patch.deploy);
        }
    }

    #[test]
    fn programs_change_in_their_languages() {
        assert_eq!(
            lines(&patch(Tool::Cdk), "+"),
            [
                "runtime: lambda.Runtime.NODEJS_22_X,",
                "runtime=lambda_.Runtime.NODEJS_22_X,"
            ]
        );
        assert_eq!(
            lines(&patch(Tool::Pulumi), "+"),
            ["runtime: \"nodejs22.x\",", "runtime=\"nodejs22.x\","]
        );
        assert_eq!(
            lines(&patch(Tool::Terraform), "+"),
            ["runtime       = \"nodejs22.x\""]
        );
        let serverless = patch(Tool::ServerlessFramework);
        assert_eq!(lines(&serverless, "+"), ["runtime: nodejs22.x"]);
        assert_eq!(serverless.deploy, "serverless deploy --stage prod");
    }

    #[test]
    fn no_tag_writes_into_the_command() {
        for hostile in ["x; rm -rf ~", "$(id)", "-h", "a b", "", "`id`", "x\ny"] {
            let owner = Owner {
                tool: Tool::ServerlessFramework,
                stack: Some(hostile.into()),
                logical_id: Some(hostile.into()),
                stage: Some(hostile.into()),
            };
            assert_eq!(
                owner.patch("f", "nodejs18.x", "nodejs22.x").deploy,
                "serverless deploy"
            );
            let owner = Owner {
                tool: Tool::Cdk,
                ..owner
            };
            let deploy = owner.patch("f", "nodejs18.x", "nodejs22.x").deploy;
            assert_eq!(deploy, "cdk diff STACK && cdk deploy STACK");
        }
    }
}
