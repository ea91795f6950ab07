//! Ports and a folder for one server.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// Below the ports that the kernel gives to outgoing connections: one of those may take the port of a
/// server that is killed and about to be started again.
const PORTS: Range<u16> = 20_000..32_000;
/// How many ports a server may need.
const EACH: u16 = 4;
/// How the folders are called, before the first port's number.
const PREFIX: &str = "fanfare-server-";

/// Four free ports of 127.0.0.1 and an empty folder, for this value's life.
///
/// Other processes respect them: who holds the ports has bound a name in the kernel's abstract
/// namespace of Unix sockets, which ends with the process and leaves nothing behind.
#[derive(Debug)]
pub struct Lease {
    folder: TempDir,
    first: u16,
    _claim: UnixListener,
}

impl Lease {
    /// Takes ports, not those that were given back last: clients of a server that is gone try to
    /// reconnect for a while.
    pub(crate) fn new() -> Result<Self, String> {
        static TIDIED: Once = Once::new();
        TIDIED.call_once(remove_left_folders);

        let places = (PORTS.end - PORTS.start) / EACH;
        let start = anywhere(places);
        (0..places)
            .map(|step| PORTS.start + (start + step) % places * EACH)
            .find_map(|first| {
                let claim = claim(first).ok()?;
                (first..first + EACH).all(is_free).then_some((first, claim))
            })
            .ok_or_else(|| format!("all ports in {PORTS:?} are taken"))
            .and_then(|(first, claim)| {
                let folder = tempfile::Builder::new()
                    .prefix(&format!("{PREFIX}{first}-"))
                    .tempdir()
                    .map_err(|error| format!("a temporary folder cannot be created: {error}"))?;
                Ok(Self {
                    folder,
                    first,
                    _claim: claim,
                })
            })
    }

    /// Address number `index`, of four.
    pub(crate) fn address(&self, index: u16) -> SocketAddr {
        assert!(index < EACH, "a lease has {EACH} ports");
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.first + index))
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn claim(first: u16) -> io::Result<UnixListener> {
    let name = format!("fanfare-test-servers/{first}");
    UnixListener::bind_addr(&net::SocketAddr::from_abstract_name(name)?)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn anywhere(below: u16) -> u16 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = now.map_or(0, |now| now.subsec_nanos());
    let mixed = (nanoseconds ^ std::process::id()).wrapping_mul(0x9E37_79B1) >> 16;
    u16::try_from(mixed).expect("16 bits are left") % below
}

/// Removes the folders of servers whose process was killed, or that were shared.
fn remove_left_folders() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for folder in entries.flatten().map(|entry| entry.path()) {
        if let Some(first) = first_port(&folder)
            && let Ok(_claim) = claim(first)
        {
            // Somebody else's stays.
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// The port that a folder's name holds, if it is one of ours.
fn first_port(folder: &Path) -> Option<u16> {
    let name = PathBuf::from(folder.file_name()?);
    let rest = name.to_str()?.strip_prefix(PREFIX)?;
    rest.split_once('-')?.0.parse().ok()
}
