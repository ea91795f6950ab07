//! The programs, and what they write.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

/// Kafka takes some seconds to make a group, and more where the machine is busy.
pub(super) const IN_TIME: Duration = Duration::from_secs(90);

/// A program, and the lines that it wrote.
pub(super) struct Program {
    pub(super) child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Program {
    pub(super) fn start(path: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(path);
        for name in ["FANFARE_TOPICS", "FANFARE_API_KEY", "FANFARE_BROKER"] {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (stdout, written) = (child.stdout.take().unwrap(), lines.clone());
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                written.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            lines,
            reader: Some(reader),
        }
    }

    pub(super) async fn consumers(url: &str, audit: &Path, more: &[&str]) -> Self {
        let audit = audit.to_str().unwrap();
        let arguments = ["--broker", url, "--audit", audit, "--report", "1"];
        let program = env!("CARGO_BIN_EXE_aiw3-consumers");
        let program = Self::start(program, &[&arguments[..], more].concat());
        program.line("consuming").await;
        program
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// What follows `begin` in the first line that begins so.
    pub(super) async fn line(&self, begin: &str) -> String {
        until(begin, async || {
            let lines = self.lines();
            lines
                .iter()
                .find_map(|line| line.strip_prefix(begin).map(str::to_owned))
        })
        .await
    }

    /// What was said under a name, a JSON object each.
    pub(super) fn said(&self, name: &str) -> Vec<Value> {
        let lines = self.lines().into_iter();
        let objects = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        objects
            .filter_map(|object| object.get(name).cloned())
            .collect()
    }

    pub(super) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Asks it to end, and gives its exit code.
    pub(super) async fn stop(&mut self) -> Option<i32> {
        self.signal("-TERM");
        let status = until("the end", async || self.child.try_wait().unwrap()).await;
        self.reader.take().unwrap().join().unwrap();
        status.code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + IN_TIME;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {IN_TIME:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The lines of the audit trail that are whole.
pub(super) fn trail(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(super) fn ids(trail: &[Value]) -> Vec<String> {
    trail
        .iter()
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect()
}
