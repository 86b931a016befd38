//! Temporary: the room of this name comes from the branch that guards.
use crate::account::Tags;
/// The owner.
#[derive(Debug, Clone)]
pub struct Owner(String);
/// The patch.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Patch {
    /// The difference.
    pub diff: String,
}
impl Owner {
    /// Of tags.
    #[must_use]
    pub fn of(tags: &Tags) -> Option<Self> {
        tags.get("aws:cloudformation:stack-name")
            .or(tags.get("ManagedBy"))
            .cloned()
            .map(Self)
    }
    /// The patch.
    #[must_use]
    pub fn patch(&self, _: &str, from: &str, to: &str) -> Patch {
        Patch {
            diff: format!("- {from}\n+ {to}"),
        }
    }
}
impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
