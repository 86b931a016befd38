//! Who this server is to AWS: every result of a change names it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Account, Error};

/// The identity that calls are made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[non_exhaustive]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// The ARN of the user or of the role's session.
    pub arn: String,
    /// The region that calls are sent to.
    pub region: String,
}

impl Identity {
    /// The ARN of the function of this name in this account and region.
    #[must_use]
    pub fn function_arn(&self, name: &str) -> String {
        let Self { account, region, arn } = self;
        // aws, aws-cn or aws-us-gov
        let partition = arn.split(':').nth(1).unwrap_or("aws");
        format!("arn:{partition}:lambda:{region}:{account}:function:{name}")
    }

    /// True if both are in the same account and region, whoever they are there.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        (&self.account, &self.region) == (&other.account, &other.region)
    }
}

impl Account {
    /// Who this server is, as AWS STS says (`GetCallerIdentity`, which needs no permission). Asked once.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn identity(&self) -> Result<&Identity, Error> {
        self.identity.get_or_try_init(|| self.ask_identity()).await
    }

    async fn ask_identity(&self) -> Result<Identity, Error> {
        let call = self.call("GetCallerIdentity", "");
        let answer = self
            .sts
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        Ok(Identity {
            account: answer.account.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
            region: self.region.clone(),
        })
    }
}
