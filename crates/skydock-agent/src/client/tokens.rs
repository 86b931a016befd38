//! Tokens that are asked for anew with each request, because they are short-lived.

use std::fmt::Debug;

use async_trait::async_trait;
use reqwest::Url;

/// Why there is no token.
pub type NoToken = Box<dyn std::error::Error + Send + Sync>;

/// A source of bearer tokens.
#[async_trait]
pub trait Tokens: Debug + Send + Sync {
    /// A token for this server, which is good for a while yet. It is asked for with every HTTP request, so what can be
    /// used again should be kept.
    async fn token(&self, server: &Url) -> Result<String, NoToken>;
}
