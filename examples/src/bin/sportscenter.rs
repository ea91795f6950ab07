//! SportsCenter: training sessions, videos, metrics and mentors.

use std::process::ExitCode;

use fanfare_examples::serve::run;
use fanfare_examples::sportscenter::SportsCenter;

/// Thousands of small, short-lived allocations a second on all threads are what it is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run::<SportsCenter>()
}
