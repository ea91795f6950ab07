//! The official JavaScript client, and the live page in a browser: the suites in the folder `js`, run
//! by Node.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use fanfare_tests::server::binary;

/// Runs a command in the suite's folder, and panics with its output where it fails.
fn run(folder: &Path, command: &mut Command) {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy;
    assert!(
        status.success(),
        "{command:?}: {status}\n{}\n{}",
        text(&stdout),
        text(&stderr)
    );
}

/// Whether what is installed is what the lock file asks for.
fn is_installed(folder: &Path) -> bool {
    let changed = |file: &str| {
        fs::metadata(folder.join(file))
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    let wanted = changed("package-lock.json").max(changed("package.json"));
    // npm writes this file when it has installed everything.
    changed("node_modules/.package-lock.json").is_some_and(|installed| Some(installed) >= wanted)
}

#[test]
fn the_official_javascript_client_and_the_live_page_in_a_browser_work() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("js");
    if !is_installed(&folder) {
        run(&folder, Command::new("npm").arg("ci"));
    }
    let mut node = Command::new("npm");
    node.args(["test", "--silent"]);
    for platform in ["mechamap", "sportscenter", "gamification", "aiw3"] {
        let variable = format!("FANFARE_TEST_{}", platform.to_uppercase());
        node.env(variable, binary(platform));
    }
    run(&folder, &mut node);
}
