//! Consumers of the gamification service: a reward for each completed quest.

use std::process::ExitCode;

fn main() -> ExitCode {
    fanfare_examples::gamification::consumers::run()
}
