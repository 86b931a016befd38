//! Models as their providers see them: what they are sent, and what comes of what they answer.

mod bedrock;
mod loops;
mod openai;
mod provider;
