//! AIW3: NFTs that traders earn.

use std::process::ExitCode;

use fanfare_examples::aiw3::Aiw3;
use fanfare_examples::serve::run;

/// Thousands of small, short-lived allocations a second on all threads are what it is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run::<Aiw3>()
}
