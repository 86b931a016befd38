//! The token of a plan: how a client that cannot be asked shows that its user saw what will be done.

use std::time::Duration;

use rmcp::model::{RequestStateCodec, RequestStateError, SealOptions};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use skydock::Key;

use super::{Plan, Validation};

/// How long a plan's token is good.
const LIFETIME: Duration = Duration::from_mins(15);
/// What the key signs here, so that nothing else it signs is taken for a plan.
const PURPOSE: &[u8] = b"lambda-ops/plan/1";
const PURPOSE_OF_ALL: &[u8] = b"lambda-ops/plans/1";

/// Why a token does not permit the change.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It was not made by this server, or was changed.
    #[error(
        "planToken is not one of this server, or was changed on the way; plan anew with dryRun: true and pass its \
         planToken on as it is"
    )]
    Foreign,
    /// It is older than it may be.
    #[error("planToken is older than {} minutes; plan anew with dryRun: true and show the user the new plan", LIFETIME.as_secs() / 60)]
    Expired,
    /// The function is not as it was.
    #[error(
        "the function was changed since planToken was made; plan anew with dryRun: true and show the user the new plan"
    )]
    Stale,
    /// The plan would be another one.
    #[error(
        "planToken was made for another plan ({0} differs); plan anew with dryRun: true and the arguments of this call"
    )]
    OtherPlan(&'static str),
}

/// What a token stands for: everything that makes a change what it is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    account: String,
    function: String,
    from: String,
    to: String,
    revision: Option<String>,
    validation: Validation,
    fallbacks: Vec<String>,
    overrides: [bool; 2],
}

impl From<&Plan> for Bound {
    fn from(plan: &Plan) -> Self {
        Self {
            account: plan.identity.account.clone(),
            function: plan.function_arn.clone(),
            from: plan.from.clone(),
            to: plan.to.clone(),
            revision: plan.revision_id.clone(),
            validation: plan.validation.clone(),
            fallbacks: plan.fallbacks.clone(),
            overrides: [plan.overrides_owner, plan.accepts_no_rollback],
        }
    }
}

/// Makes and reads tokens of plans: signed (HMAC-SHA256), expiring, bound to one revision of one function.
#[derive(Debug, Clone)]
pub struct Seal(RequestStateCodec);

impl Seal {
    /// Tokens are signed with `key`; instances that share the key take each other's tokens.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        // a `Key` is never shorter than it has to be
        Self(RequestStateCodec::new_unchecked(key.expose()))
    }

    /// The token of a plan.
    ///
    /// # Errors
    /// If the plan cannot be written as JSON.
    pub fn token(&self, plan: &Plan) -> Result<String, RequestStateError> {
        self.token_for(plan, LIFETIME)
    }

    fn token_for(&self, plan: &Plan, lifetime: Duration) -> Result<String, RequestStateError> {
        let options = SealOptions::new().associated_data(PURPOSE).ttl(lifetime);
        self.0.seal_json_with(&Bound::from(plan), &options)
    }

    /// The token of plans that are agreed to together, in this order.
    ///
    /// # Errors
    /// If the plans cannot be written as JSON.
    pub fn token_of_all(&self, plans: &[&Plan]) -> Result<String, RequestStateError> {
        let bound: Vec<Bound> = plans.iter().copied().map(Bound::from).collect();
        let options = SealOptions::new().associated_data(PURPOSE_OF_ALL).ttl(LIFETIME);
        self.0.seal_json_with(&bound, &options)
    }

    /// Checks that `token` stands for `plans`, all of them and in this order.
    ///
    /// # Errors
    /// [`Fault`] if it does not, or not any more.
    pub fn check_all(&self, token: &str, plans: &[&Plan]) -> Result<(), Fault> {
        let told: Vec<Bound> = self.open(token, PURPOSE_OF_ALL)?;
        let same = |(told, plan): (&Bound, &&Plan)| told.function == plan.function_arn;
        if told.len() != plans.len() || !told.iter().zip(plans).all(same) {
            return Err(Fault::OtherPlan("the functions or their order"));
        }
        told.iter().zip(plans).try_for_each(|(told, plan)| told.is(plan))
    }

    fn open<T: DeserializeOwned>(&self, token: &str, purpose: &[u8]) -> Result<T, Fault> {
        self.0
            .open_json_with(token, purpose)
            .map_err(|fault| match fault {
                RequestStateError::Expired => Fault::Expired,
                _ => Fault::Foreign,
            })
    }

    /// Checks that `token` stands for `plan`.
    ///
    /// # Errors
    /// [`Fault`] if it does not, or not any more.
    pub fn check(&self, token: &str, plan: &Plan) -> Result<(), Fault> {
        self.open::<Bound>(token, PURPOSE)?.is(plan)
    }
}

impl Bound {
    /// Checks that it was made for `plan`.
    fn is(&self, plan: &Plan) -> Result<(), Fault> {
        let plan = Self::from(plan);
        let parts = [
            ("account", self.account == plan.account),
            ("function", self.function == plan.function),
            ("runtime", self.to == plan.to),
            ("testEvent", self.validation == plan.validation),
            (
                "acceptNoRollback or overrideOwner",
                self.overrides == plan.overrides,
            ),
        ];
        if let Some((part, _)) = parts.into_iter().find(|(_, same)| !same) {
            return Err(Fault::OtherPlan(part));
        }
        if self.from != plan.from || self.revision != plan.revision {
            return Err(Fault::Stale);
        }
        // last, as it depends on the runtime that the function has
        if self.fallbacks != plan.fallbacks {
            return Err(Fault::OtherPlan("tryOlder"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::account::Identity;

    pub(in crate::upgrade) fn plan() -> Plan {
        let identity: Identity = serde_json::from_value(serde_json::json!({
            "account": "123456789012", "arn": "arn:aws:iam::123456789012:user/ada", "region": "eu-central-1"
        }))
        .expect("an identity");
        Plan {
            function_name: "orders-api".to_owned(),
            function_arn: "arn:aws:lambda:eu-central-1:123456789012:function:orders-api".to_owned(),
            from: "nodejs20.x".to_owned(),
            to: "nodejs24.x".to_owned(),
            revision_id: Some("1".to_owned()),
            validation: Validation::DryRun,
            rollback: String::new(),
            fallbacks: Vec::new(),
            notes: Vec::new(),
            identity,
            overrides_owner: false,
            accepts_no_rollback: false,
        }
    }

    #[test]
    fn a_token_holds_for_its_plan_whatever_its_notes_say() {
        let seal = Seal::new(&Key::random());
        let token = seal.token(&plan()).expect("a token");
        let mut noted = plan();
        noted.notes.push("a layer may not be read today".to_owned());
        assert_eq!(seal.check(&token, &noted), Ok(()));
    }

    #[test]
    fn a_token_holds_for_no_other_plan() {
        let seal = Seal::new(&Key::random());
        let token = seal.token(&plan()).expect("a token");
        type Edit = fn(&mut Plan);
        let edits: [(Edit, Fault); 9] = [
            (|plan| plan.revision_id = Some("2".to_owned()), Fault::Stale),
            (|plan| plan.from = "nodejs18.x".to_owned(), Fault::Stale),
            (
                |plan| plan.to = "nodejs22.x".to_owned(),
                Fault::OtherPlan("runtime"),
            ),
            (|plan| plan.function_arn.push('2'), Fault::OtherPlan("function")),
            (
                |plan| plan.identity.account.push('2'),
                Fault::OtherPlan("account"),
            ),
            (
                |plan| plan.fallbacks.push("nodejs22.x".to_owned()),
                Fault::OtherPlan("tryOlder"),
            ),
            (
                |plan| {
                    plan.validation = Validation::Argument {
                        sha256: "00".to_owned(),
                    }
                },
                Fault::OtherPlan("testEvent"),
            ),
            (
                |plan| plan.overrides_owner = true,
                Fault::OtherPlan("acceptNoRollback or overrideOwner"),
            ),
            (
                |plan| plan.accepts_no_rollback = true,
                Fault::OtherPlan("acceptNoRollback or overrideOwner"),
            ),
        ];
        for (edit, fault) in edits {
            let mut other = plan();
            edit(&mut other);
            assert_eq!(seal.check(&token, &other), Err(fault));
        }
    }

    #[test]
    fn a_token_that_was_changed_or_is_of_another_key_or_purpose_is_foreign() {
        let key = Key::random();
        let seal = Seal::new(&key);
        let token = seal.token(&plan()).expect("a token");
        let other_purpose = RequestStateCodec::new_unchecked(key.expose())
            .seal_json_with(&Bound::from(&plan()), &SealOptions::new().associated_data(b"ask"))
            .expect("a state");
        let other_key = Seal::new(&Key::random()).token(&plan()).expect("a token");
        for foreign in [format!("{token}x"), other_purpose, other_key, String::new()] {
            assert_eq!(seal.check(&foreign, &plan()), Err(Fault::Foreign), "{foreign}");
        }
    }

    #[test]
    fn a_token_expires() {
        let seal = Seal::new(&Key::random());
        let token = seal
            .token_for(&plan(), Duration::from_millis(1))
            .expect("a token");
        while seal.check(&token, &plan()) == Ok(()) {
            std::thread::yield_now();
        }
        assert_eq!(seal.check(&token, &plan()), Err(Fault::Expired));
    }
}
