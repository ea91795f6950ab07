//! What is counted. Clients get what is about their user, the rest is for backend services.

pub mod business;
pub mod engagement;
pub mod performance;
pub mod social;
pub mod system;

/// By what backend services read all of it.
const TOPICS: &[&str] = &["sportscenter.analytics"];
