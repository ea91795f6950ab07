//! What the example servers share: flags, start-up, the way down; and each platform's event set.

pub mod aiw3;
mod broker;
pub mod demo;
pub mod described;
pub mod gamification;
#[cfg(feature = "brokers")]
mod ingest;
pub mod mechamap;
mod pages;
pub mod platform;
pub mod replay;
pub mod serve;
pub mod sportscenter;
pub mod tokens;
mod topics;

/// The examples of the project's front page, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
