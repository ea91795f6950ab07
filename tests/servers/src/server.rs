//! A broker that runs, whichever it is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::lease::Lease;
use crate::process::{Process, Program};

/// What differs between brokers.
pub trait Broker: fmt::Debug + Send + Sync + Sized + 'static {
    /// Its name, in lower case.
    const NAME: &'static str;
    /// How long a start may take. Several times what it takes on an idle machine, because tests run
    /// beside compilers.
    const WITHIN: Duration;

    /// Writes what the server needs before its first start.
    ///
    /// # Errors
    /// What is missing or failed, as a sentence.
    fn prepare(lease: &Lease) -> Result<Self, String>;

    /// What to run, in this order. The last one is the server, and is what has to become ready.
    fn programs(&self, lease: &Lease) -> Vec<Program>;

    /// Whether the server serves clients now. Asked again and again.
    fn is_ready(&self, lease: &Lease) -> bool;

    /// Where clients connect.
    fn url(&self, lease: &Lease) -> String;

    /// The one server that the tests of a process share.
    fn shared_server() -> &'static OnceCell<Server<Self>>;
}

/// A broker that runs. Killed with the value.
///
/// What happens here happens in threads that may wait, so a paused tokio clock does not matter.
#[derive(Debug)]
pub struct Server<B: Broker> {
    /// Empty while it is killed. Stands before `home`, whose folder it writes to.
    processes: Vec<Process>,
    home: Arc<Home<B>>,
}

/// What a server keeps while it is killed.
#[derive(Debug)]
struct Home<B> {
    broker: B,
    lease: Lease,
}

impl<B: Broker> Server<B> {
    /// Starts one on free ports and waits until it serves clients.
    ///
    /// Cancel safe: the server ends with the future.
    ///
    /// # Panics
    /// With the end of the server's log where it does not come up, and with what to do where it is
    /// not installed.
    pub async fn start() -> Self {
        let home = blocking(|| {
            let lease = Lease::new()?;
            let broker = B::prepare(&lease)?;
            Ok(Arc::new(Home { broker, lease }))
        })
        .await;
        let mut server = Self {
            processes: Vec::new(),
            home,
        };
        server.start_again().await;
        server
    }

    /// The server that all tests of this process share. Started when first asked for, ends with the
    /// process. Tests keep apart by their names for channels, streams, queues and topics.
    ///
    /// # Panics
    /// As [`start`](Self::start) does.
    pub async fn shared() -> &'static Self {
        B::shared_server().get_or_init(Self::start).await
    }

    /// Where clients connect, the same for all its life.
    #[must_use]
    pub fn url(&self) -> String {
        self.home.broker.url(&self.home.lease)
    }

    /// The folder with its data, its configuration and its log `NAME.log`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.home.lease.folder().to_owned()
    }

    /// Kills it with SIGKILL, and waits until it is gone. Nothing happens where it is killed
    /// already.
    ///
    /// What it had written is in the kernel's cache and survives, synced or not, as in any crash that
    /// is not the machine's.
    pub async fn kill(&mut self) {
        let processes = std::mem::take(&mut self.processes);
        blocking(move || {
            drop(processes);
            Ok(())
        })
        .await;
    }

    /// Starts it on the same ports with the data it left, and waits until it serves clients. One that
    /// runs is killed first.
    ///
    /// # Panics
    /// With the end of the server's log where it does not come up.
    pub async fn start_again(&mut self) {
        self.kill().await;
        let home = Arc::clone(&self.home);
        self.processes = blocking(move || home.start()).await;
    }

    /// Stops it in its tracks with SIGSTOP, and waits until it stands still: connections stay, nothing is
    /// answered, until [`resume`](Self::resume).
    pub fn pause(&mut self) {
        for process in &self.processes {
            process.stop();
        }
    }

    /// Lets it go on after a [`pause`](Self::pause).
    pub fn resume(&mut self) {
        for process in &self.processes {
            process.go_on();
        }
    }
}

impl<B: Broker> Home<B> {
    fn start(&self) -> Result<Vec<Process>, String> {
        let mut processes = Vec::new();
        for program in self.broker.programs(&self.lease) {
            processes.push(Process::start(program)?);
        }
        let server = processes.last_mut().expect("a broker has a program");
        server.wait_until(B::WITHIN, || self.broker.is_ready(&self.lease))?;
        Ok(processes)
    }
}

/// Does `work` where it may block.
///
/// # Panics
/// With the sentence that `work` fails with.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> T {
    match spawn_blocking(work).await {
        Ok(Ok(done)) => done,
        Ok(Err(problem)) => panic!("{problem}"),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
