//! AIW3's backend services: what is counted, told and kept of the events on its topics.

use std::process::ExitCode;

fn main() -> ExitCode {
    fanfare_examples::aiw3::consumers::run()
}
