//! Writes the documents that are made of the platforms' types: `AsyncAPI`, JSON Schema, TypeScript.
//!
//! `describe FOLDER` writes them, `describe --check FOLDER` says which are not current.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fanfare_examples::described::{Document, documents};

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Writes AsyncAPI, JSON Schema and TypeScript of every platform"
)]
struct Flags {
    /// Write nothing, and fail where a document is not current
    #[arg(long)]
    check: bool,
    /// Where they stand
    #[arg(default_value = "examples/clients")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let mut outdated = 0;
    for Document { path, text } in documents() {
        let path = flags.folder.join(path);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if flags.check {
            eprintln!("{} is not current", path.display());
            outdated += 1;
            continue;
        }
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, text));
        if let Err(error) = written {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
        println!("{}", path.display());
    }
    ExitCode::from(u8::from(outdated > 0))
}
