//! Temporary: the room of this name comes from the branch that guards.
use crate::account::{FunctionName, Identity, Tags};
/// What may be done.
#[derive(Debug, Clone)]
pub struct Allow(bool);
/// Why not.
#[derive(Debug, thiserror::Error)]
#[error("this server may not do that")]
pub struct Refusal;
impl Allow {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self(false)
    }
    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self(true)
    }
    /// May it be changed?
    /// # Errors
    /// No.
    pub fn write(&self, _: &FunctionName, _: &Tags, _: &Identity) -> Result<(), Refusal> {
        if self.0 { Ok(()) } else { Err(Refusal) }
    }
    /// May it be run?
    /// # Errors
    /// No.
    pub fn invoke(&self, _: &FunctionName, _: &Tags, _: &Identity) -> Result<(), Refusal> {
        if self.0 { Ok(()) } else { Err(Refusal) }
    }
    /// Anything?
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.0
    }
    /// Are tags needed?
    #[must_use]
    pub fn needs_tags(&self) -> bool {
        false
    }
}
