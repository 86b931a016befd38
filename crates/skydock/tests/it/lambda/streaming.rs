//! Streamed responses: what is written, when, and how they end.
