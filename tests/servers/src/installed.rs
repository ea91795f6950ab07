//! Where `scripts/install-brokers` puts things.

use std::env;
use std::path::PathBuf;

/// The path of something in the brokers' folder.
pub(crate) fn installed(path: &str) -> Result<PathBuf, String> {
    present(folder()?.join(path))
}

/// The path of something that a package of the system installs.
pub(crate) fn packaged(path: &str) -> Result<PathBuf, String> {
    present(PathBuf::from(path))
}

fn present(path: PathBuf) -> Result<PathBuf, String> {
    if path.exists() {
        return Ok(path);
    }
    let path = path.display();
    Err(format!("{path} is missing: run scripts/install-brokers"))
}

fn folder() -> Result<PathBuf, String> {
    if let Some(folder) = env::var_os("FANFARE_BROKERS_DIR").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    env::home_dir()
        .map(|home| home.join(".cache/fanfare-brokers"))
        .ok_or_else(|| "neither FANFARE_BROKERS_DIR nor HOME is set".to_owned())
}
