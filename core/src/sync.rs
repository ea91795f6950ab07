//! The locks of the core, replaced by loom's when its models are checked.

#[cfg(not(all(test, loom)))]
use std::sync as imp;

#[cfg(all(test, loom))]
use loom::sync as imp;

pub(crate) type Guard<'a, T> = imp::MutexGuard<'a, T>;

/// A mutex without poisoning: code that panics while it holds one of ours leaves nothing half
/// changed, and a second panic in every later caller would take the whole node down.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
