//! Limits. Clients get what is about their user, the rest is for backend services.

pub mod policy;
pub mod service;
pub mod usage;

/// By what backend services read all of it.
const TOPICS: &[&str] = &["sportscenter.ratelimit"];
