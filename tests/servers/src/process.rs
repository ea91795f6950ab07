//! Child processes that end with this one.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Between two looks.
const POLL: Duration = Duration::from_millis(10);
/// How many lines of a log a failure shows.
const TAIL: usize = 40;

/// A program that is about to be run.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    command: Command,
    log: PathBuf,
}

impl Program {
    /// Runs `binary` in `folder`, with its output in the file `NAME.log` there.
    pub(crate) fn new(name: &'static str, binary: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary)
            .current_dir(folder)
            .stdin(Stdio::null())
            .process_group(0);
        // What the caller's shell says about a server must not reach those of the tests.
        for (variable, _) in env::vars_os() {
            let prefixes = ["RABBITMQ_", "ERL_", "KAFKA_", "JAVA_", "JDK_JAVA_"];
            if prefixes
                .iter()
                .any(|prefix| variable.as_encoded_bytes().starts_with(prefix.as_bytes()))
            {
                command.env_remove(variable);
            }
        }
        Self {
            name,
            command,
            log: folder.join(name).with_extension("log"),
        }
    }

    /// Adds an argument.
    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub(crate) fn arguments(
        mut self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }
}

/// A program that runs, with all it starts. Killed with the value.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Runs a program, whose log grows by what this run says.
    pub(crate) fn start(program: Program) -> Result<Self, String> {
        let Program {
            name,
            mut command,
            log,
        } = program;
        let child = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|file| {
                command.stdout(file.try_clone()?).stderr(file);
                spawn(command)
            })
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        Ok(Self { name, child, log })
    }

    /// Waits until `ready` holds. Fails with the end of the log where the process ends before, or does
    /// not get there `within` that time.
    pub(crate) fn wait_until(
        &mut self,
        within: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            let problem = match ended {
                Some(status) => format!("ended before it was ready ({status})"),
                None if ready() => return Ok(()),
                None if Instant::now() > deadline => format!("was not ready within {within:?}"),
                None => {
                    thread::sleep(POLL);
                    continue;
                }
            };
            return Err(format!(
                "{} {problem}; its log ends:\n{}",
                self.name,
                self.tail()
            ));
        }
    }

    /// Stops the program and all it started, and waits until none of its threads runs.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        // Threads on other processors go on for a moment. An end counts as well, and is left to `drop`.
        let event = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = retry_on_intr(|| waitid(WaitId::Pid(self.group()), event));
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // Whoever is gone needs none.
        let _ = kill_process_group(self.group(), signal);
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Those it started hold no ports, and are reaped by somebody else.
        let _ = self.child.wait();
    }
}

/// Spawns in a thread that lives as long as this process: the kernel kills a child when the *thread*
/// that started it ends, and those of a runtime end early.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                // Who asked has gone; a child that nobody waits for would stay.
                if let Err(mpsc::SendError(Ok(mut child))) = answer.send(command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        Mutex::new(sender)
    });

    let (sender, answer) = mpsc::channel();
    ORDERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, sender))
        .expect("the thread lives as long as the sender");
    answer.recv().expect("every order is answered")
}
