//! The documents made of the platforms' types: current, valid, and of use to clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use fanfare_examples::described::{Document, documents};

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

#[test]
fn the_documents_are_current() {
    for Document { path, text } in documents() {
        let there = std::fs::read_to_string(clients().join(&path));
        assert!(
            there.is_ok_and(|there| there == text),
            "{path}: write it with `cargo run -p fanfare-examples --bin describe`"
        );
    }
}

/// By the official parser of AsyncAPI, and by the TypeScript compiler with a client of each platform.
#[test]
fn the_documents_are_valid() {
    let npm = |arguments: &[&str]| {
        let mut npm = Command::new("npm");
        let output = npm.args(arguments).current_dir(clients()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{complained}");
        said.into_owned()
    };
    npm(&["ci"]);
    let said = npm(&["run", "check"]);
    for Document { path, .. } in documents() {
        if path.ends_with("asyncapi.json") {
            assert!(said.contains(&path), "{path} was not looked at: {said}");
        }
    }
}
