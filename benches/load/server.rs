//! A server started for the run.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(60);

impl Server {
    /// Starts `command` with a shell's rules of quoting and waits for its line `listening on URL`.
    pub(crate) fn spawn(command: &str, environment: &[(&str, &str)]) -> Result<Self, String> {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting the server: {error}"))?;
        let stdout = child.stdout.take().expect("piped");
        let (found, url) = mpsc::channel();
        // Reads on after the line, so that the server never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(url) = line
                    .split("listening on ")
                    .nth(1)
                    .filter(|url| url.starts_with("http"))
                {
                    let _ = found.send(url.trim().to_owned());
                }
            }
        });
        let mut server = Self {
            child,
            url: String::new(),
        };
        server.url = url
            .recv_timeout(START)
            .map_err(|_| "the server did not say that it listens".to_owned())?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to end and waits until it has.
    pub(crate) fn terminate(mut self) -> Result<ExitStatus, String> {
        let pid = self.pid().to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .map_err(|error| format!("kill: {error}"))?;
        let start = Instant::now();
        while start.elapsed() < END {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(format!("waiting for the server: {error}")),
            }
        }
        Err(format!(
            "the server did not end within {} s of SIGTERM",
            END.as_secs()
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already unless the run was given up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
