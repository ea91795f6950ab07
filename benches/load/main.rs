//! `load`: measures a server's fan-out over real connections.

use std::process::ExitCode;

use clap::Parser;

mod connection;
mod envelope;
mod flags;
mod frame;
mod http;
mod lines;
mod marker;
mod process;
mod progress;
mod publisher;
mod reader;
mod report;
mod run;
mod sequence;
mod server;
mod stall;
mod tally;
mod token;

fn main() -> ExitCode {
    let flags = flags::Flags::parse();
    let report = match run::run(&flags) {
        Ok(report) => report,
        Err(problem) => {
            eprintln!("load: {problem}");
            return ExitCode::from(2);
        }
    };
    print!("{report}");
    if flags.json {
        match serde_json::to_string(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("load: {error}"),
        }
    }
    if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
