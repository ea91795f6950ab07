//! Example servers as child processes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::http::{Answer, Http};
use crate::wait::until;

/// The secret that servers check tokens with.
pub const JWT_SECRET: &str = "the suites' secret";
/// The server API's key.
pub const API_KEY: &str = "the-suites-key";

const START_WITHIN: Duration = Duration::from_secs(20);
/// How long a server that a test is done with may take to end by itself.
const END_WITHIN: Duration = Duration::from_secs(2);

/// The MechaMap server's executable, built if need be.
#[must_use]
pub fn mechamap_binary() -> PathBuf {
    binary("mechamap")
}

/// The executable of an example, built if need be.
///
/// # Panics
/// Where it cannot be built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static BINARIES: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut binaries = BINARIES.lock().unwrap_or_else(PoisonError::into_inner);
    let built = binaries.entry(name.to_owned());
    built.or_insert_with(|| build(name)).clone()
}

fn build(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("FANFARE_TEST_BINARIES") {
        return Path::new(&folder).join(name);
    }
    // This is target/PROFILE/deps/SUITE-HASH.
    let suite = std::env::current_exe().expect("a test knows its own path");
    let profile = suite
        .ancestors()
        .nth(2)
        .expect("cargo's folders are three deep");
    let target = profile.parent().expect("cargo's folders are three deep");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "fanfare-examples",
        "--bin",
        name,
    ]);
    cargo
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if let Some(other) = profile.file_name().filter(|name| *name != "debug") {
        cargo.arg("--profile").arg(other);
    }
    let built = cargo.status().expect("cargo runs");
    assert!(built.success(), "building {name}: {built}");
    profile.join(name)
}

/// A server that is about to be started.
#[derive(Debug)]
pub struct Launch {
    binary: PathBuf,
    listen: Option<SocketAddr>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    config: Option<NamedTempFile>,
}

impl Launch {
    /// A MechaMap server on a free port, with the suites' secret and key.
    #[must_use]
    pub fn mechamap() -> Self {
        Self::of("mechamap")
    }

    /// A platform's server on a free port, with the suites' secret and key.
    #[must_use]
    pub fn of(platform: &str) -> Self {
        Self::program(platform)
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .argument("--jwt-secret")
            .argument(JWT_SECRET)
            .argument("--api-key")
            .argument(API_KEY)
    }

    /// A MechaMap server without any flag.
    #[must_use]
    pub fn bare() -> Self {
        Self::program("mechamap")
    }

    /// A program of the examples without any flag.
    #[must_use]
    pub fn program(name: &str) -> Self {
        Self {
            binary: binary(name),
            listen: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            config: None,
        }
    }

    /// Sets the address; with port 0 the server takes any port that is free.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes `toml` to a file and names it with `--config`.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        let mut file = NamedTempFile::new().expect("a temporary file");
        file.write_all(toml.as_bytes())
            .expect("a temporary file takes text");
        self = self.argument("--config").argument(file.path());
        self.config = Some(file);
        self
    }

    /// Starts it and waits until it accepts connections.
    pub async fn start(self) -> Server {
        let (mut server, url) = self.begin("listening on ").await;
        let address = url.split_once("://").expect("a URL").1;
        server.address = address.parse().expect("an address and a port");
        server.http = Http::new(server.address);
        server
    }

    /// Starts a program that is no server, and waits until it has written a line that begins so.
    pub async fn start_until(self, line: &str) -> Server {
        self.begin(line).await.0
    }

    /// Starts it and gives the rest of the line that begins so.
    async fn begin(self, begin: &str) -> (Server, String) {
        let mut server = self.spawn();
        let what = format!("the line {begin:?}");
        let rest = until(&what, START_WITHIN, async || {
            assert!(
                server.has_ended().is_none(),
                "the server ended at once: {}",
                server.stderr()
            );
            let stdout = server.stdout();
            let rest = stdout.lines().find_map(|line| line.strip_prefix(begin));
            rest.map(str::to_owned)
        })
        .await;
        (server, rest)
    }

    /// Starts it and waits until it has ended by itself, as one that refuses to start does.
    pub async fn refusal(self) -> Server {
        let mut server = self.spawn();
        server.exit(START_WITHIN).await;
        server
    }

    fn spawn(self) -> Server {
        let mut command = Command::new(self.binary);
        // What the caller's shell says about a server must not reach those of the tests.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"FANFARE_") {
                command.env_remove(name);
            }
        }
        if let Some(address) = self.listen {
            command.arg("--listen").arg(address.to_string());
        }
        command
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server's binary runs");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Server {
            stdout: Output::of(child.stdout.take().expect("piped")),
            stderr: Output::of(child.stderr.take().expect("piped")),
            child,
            address,
            http: Http::new(address),
            _config: self.config,
        }
    }
}

/// A running server. Ends with the value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    http: Http,
    stdout: Output,
    stderr: Output,
    /// Removed when the server is.
    _config: Option<NamedTempFile>,
}

/// What a process has of the machine's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most since it began.
    pub peak: u64,
}

/// What the server API answers for one event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The event's id.
    pub id: String,
    /// Where it went; none where no client may see it.
    pub channel: Option<String>,
    /// Its offset there; none where it is ephemeral.
    #[serde(default)]
    pub offset: Option<u64>,
}

impl Server {
    /// A MechaMap server with the platform's own numbers.
    pub async fn mechamap() -> Self {
        Launch::mechamap().start().await
    }

    /// A MechaMap server with these numbers changed.
    pub async fn configured(toml: &str) -> Self {
        Launch::mechamap().config(toml).start().await
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of its HTTP side.
    #[must_use]
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Posts `body` as it is to `/publish`, with the key.
    pub async fn post(&self, body: impl Into<bytes::Bytes>) -> Answer {
        self.tell("/publish", body).await
    }

    /// Gets `path` of the server API, with the key.
    pub async fn ask(&self, path: &str) -> Answer {
        self.http
            .get(path, &[("authorization", &format!("Bearer {API_KEY}"))])
            .await
    }

    /// Posts `body` as it is to `path` of the server API, with the key.
    pub async fn tell(&self, path: &str, body: impl Into<bytes::Bytes>) -> Answer {
        self.http
            .post(
                path,
                &[("authorization", &format!("Bearer {API_KEY}"))],
                body,
            )
            .await
    }

    /// Publishes one envelope, or an array of them, that the server has to accept.
    pub async fn publish(&self, body: &Value) -> Vec<Published> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Accepted {
            accepted: usize,
            results: Vec<Published>,
        }
        let answer = self.post(body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let Accepted { accepted, results } =
            serde_json::from_slice(&answer.body).expect("the documented answer");
        assert_eq!(accepted, body.as_array().map_or(1, Vec::len));
        assert_eq!(results.len(), accepted);
        results
    }

    /// The sum of all series of `/metrics` whose name and labels begin with `series`.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.http.get("/metrics", &[]).await.body;
        let text = String::from_utf8(text.to_vec()).expect("metrics are text");
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines
            .map(|line| {
                line.rsplit(' ')
                    .next()
                    .and_then(|value| value.parse::<f64>().ok())
                    .expect("a number")
            })
            .sum()
    }

    /// Checks that it is well and takes in clients.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn assert_healthy(&self) {
        let answer = self.http.get("/health", &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["status"], "healthy", "{answer:?}");
        let answer = self.http.get("/ready", &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }

    /// Asks it to end in order: SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it without warning: SIGKILL.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits for its end, and gives its exit code: none where a signal ended it.
    pub async fn exit(&mut self, within: Duration) -> Option<i32> {
        until("the server's end", within, async || self.has_ended())
            .await
            .code()
    }

    /// What it has written to standard output so far; after its end all of it.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far; after its end all of it.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// What it has of the machine's memory; none where it has ended.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes =
                line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            1024 * kibibytes.unwrap_or_else(|| panic!("no {name} in {status}"))
        };
        Some(Memory {
            resident: bytes("VmRSS:"),
            peak: bytes("VmHWM:"),
        })
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.try_wait().expect("a child can be waited for")?;
        (self.stdout.is_complete() && self.stderr.is_complete()).then_some(ended)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("standard error of the server:\n{}", self.stderr());
        }
        self.terminate();
        let deadline = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What a process writes to a pipe. Read at once, so that it never waits for a reader.
#[derive(Debug)]
struct Output {
    text: Arc<Mutex<String>>,
    reader: thread::JoinHandle<()>,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let written = text.clone();
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                written
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_complete(&self) -> bool {
        self.reader.is_finished()
    }
}
