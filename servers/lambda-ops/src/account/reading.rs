//! What is read: pages of functions, one function's configuration.

use aws_sdk_lambda::types::{FunctionConfiguration, LastUpdateStatus, SnapStartApplyOn};

use super::{Account, Error, FunctionName};

/// What AWS gives at most in one answer to `ListFunctions`.
const LARGEST_PAGE: i32 = 50;

/// A function in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its ARN, without a version.
    pub arn: String,
    /// Its runtime; none for a container image.
    pub runtime: Option<String>,
    /// `Zip` or `Image`.
    pub package_type: String,
    /// When code or configuration changed last, as AWS writes it.
    pub last_modified: String,
}

impl Listed {
    /// The number of the account it is in, as its ARN says.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.arn.split(':').nth(4)
    }
}

/// One answer of `ListFunctions`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page {
    /// The functions in AWS's order.
    pub functions: Vec<Listed>,
    /// AWS's marker of the next page.
    pub next: Option<String>,
}

/// Where the last update of a configuration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateState {
    /// In force.
    Successful,
    /// Under way.
    InProgress,
    /// AWS gave up, for this reason.
    Failed(String),
}

/// A function's configuration as far as it may be shown: of the environment there are only the names, and where
/// the code lies is not asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// Its ARN, as AWS gives it.
    pub arn: String,
    /// What it is for, in its author's words.
    pub description: Option<String>,
    /// Its runtime; none for a container image.
    pub runtime: Option<String>,
    /// `Zip` or `Image`.
    pub package_type: String,
    /// The entry point; none for a container image.
    pub handler: Option<String>,
    /// The ARN of the role it runs as.
    pub role: Option<String>,
    /// In MiB.
    pub memory_size: Option<i32>,
    /// In seconds.
    pub timeout: Option<i32>,
    /// `x86_64`, `arm64`.
    pub architectures: Vec<String>,
    /// ARNs of layer versions.
    pub layers: Vec<String>,
    /// The names of the environment variables, sorted.
    pub environment_names: Vec<String>,
    /// `Active`, `Pending`, `Inactive`, `Failed`.
    pub state: Option<String>,
    /// Where the last update stands.
    pub last_update: UpdateState,
    /// Which version of the configuration this is, for a conditional update.
    pub revision_id: Option<String>,
    /// When code or configuration changed last, as AWS writes it.
    pub last_modified: Option<String>,
    /// `$LATEST` or a number.
    pub version: Option<String>,
    /// The digest of the deployed code.
    pub code_sha256: Option<String>,
    /// True if AWS keeps a snapshot of published versions (SnapStart).
    pub snap_start: bool,
    /// For a replica of Lambda@Edge, the ARN of the function it is a copy of.
    pub master_arn: Option<String>,
}

impl Account {
    /// One page of functions (`$LATEST` only), from AWS's `marker` on.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn list(&self, marker: Option<&str>) -> Result<Page, Error> {
        let call = self.call("ListFunctions", "");
        let answer = self
            .client
            .list_functions()
            .max_items(LARGEST_PAGE)
            .set_marker(marker.map(str::to_owned))
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        let functions = answer
            .functions
            .unwrap_or_default()
            .into_iter()
            .map(listed)
            .collect();
        Ok(Page {
            functions,
            next: answer.next_marker.filter(|marker| !marker.is_empty()),
        })
    }

    /// The configuration of one function.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn configuration(&self, name: &FunctionName) -> Result<Configuration, Error> {
        let call = self.call("GetFunctionConfiguration", name.as_str());
        let answer = self
            .client
            .get_function_configuration()
            .function_name(name.as_str())
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        // The values of the environment are dropped in this very expression.
        let environment_names: Vec<String> = answer
            .environment
            .and_then(|environment| environment.variables)
            .unwrap_or_default()
            .into_keys()
            .collect();
        Ok(Configuration {
            name: answer.function_name.unwrap_or_else(|| name.to_string()),
            arn: answer.function_arn.unwrap_or_default(),
            description: answer.description.filter(|text| !text.is_empty()),
            runtime: answer.runtime.map(|runtime| runtime.as_str().to_owned()),
            package_type: answer
                .package_type
                .map_or_else(|| "Zip".to_owned(), |kind| kind.as_str().to_owned()),
            handler: answer.handler.filter(|handler| !handler.is_empty()),
            role: answer.role,
            memory_size: answer.memory_size,
            timeout: answer.timeout,
            architectures: answer
                .architectures
                .unwrap_or_default()
                .iter()
                .map(|a| a.as_str().to_owned())
                .collect(),
            layers: answer
                .layers
                .unwrap_or_default()
                .into_iter()
                .filter_map(|layer| layer.arn)
                .collect(),
            environment_names: sorted(environment_names),
            state: answer.state.map(|state| state.as_str().to_owned()),
            last_update: update_state(
                answer.last_update_status.as_ref(),
                answer.last_update_status_reason,
            ),
            revision_id: answer.revision_id,
            last_modified: answer.last_modified,
            version: answer.version,
            code_sha256: answer.code_sha256,
            snap_start: answer
                .snap_start
                .and_then(|snap_start| snap_start.apply_on)
                .is_some_and(|apply_on| apply_on == SnapStartApplyOn::PublishedVersions),
            master_arn: answer.master_arn.filter(|arn| !arn.is_empty()),
        })
    }
}

fn listed(function: FunctionConfiguration) -> Listed {
    Listed {
        name: function.function_name.unwrap_or_default(),
        arn: function.function_arn.unwrap_or_default(),
        runtime: function.runtime.map(|runtime| runtime.as_str().to_owned()),
        package_type: function
            .package_type
            .map_or_else(|| "Zip".to_owned(), |kind| kind.as_str().to_owned()),
        last_modified: function.last_modified.unwrap_or_default(),
    }
}

fn update_state(status: Option<&LastUpdateStatus>, reason: Option<String>) -> UpdateState {
    match status {
        Some(LastUpdateStatus::InProgress) => UpdateState::InProgress,
        Some(LastUpdateStatus::Failed) => {
            UpdateState::Failed(reason.unwrap_or_else(|| "AWS gives no reason".to_owned()))
        }
        _ => UpdateState::Successful,
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}
