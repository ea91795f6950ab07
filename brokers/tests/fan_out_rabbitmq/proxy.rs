//! A way to the server that can be cut, and blocked.

use std::net::SocketAddr;
use std::sync::Arc;

use fanfare_brokers::fan_out::rabbitmq::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    /// Connections that are open.
    open: Arc<()>,
    _task: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Cut,
    Blocked,
}

impl Proxy {
    pub(crate) async fn start(config: &Config) -> Self {
        let server = (config.host.clone(), config.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::Open);
        let open = Arc::new(());
        let mut task = JoinSet::new();
        let (states, counted) = (state.clone(), open.clone());
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *states.borrow() == State::Cut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&server).await else {
                    continue;
                };
                let (states, counted) = (states.subscribe(), counted.clone());
                connections.spawn(async move {
                    carry(client, server, states).await;
                    drop(counted);
                });
            }
        });
        Self {
            address,
            state,
            open,
            _task: task,
        }
    }

    /// Ends all connections, and those that come.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Keeps connections and carries nothing.
    pub(crate) fn block(&self) {
        self.state.send_replace(State::Blocked);
    }

    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Open);
    }

    pub(crate) fn connections(&self) -> usize {
        Arc::strong_count(&self.open) - 2
    }
}

async fn carry(client: TcpStream, server: TcpStream, state: watch::Receiver<State>) {
    let mut ends = state.clone();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, state.clone()) => {}
        () = copy(from_server, to_client, state.clone()) => {}
        _ = ends.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn copy(
    from: tokio::net::tcp::OwnedReadHalf,
    to: tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        from.readable().await.unwrap();
        state
            .wait_for(|state| *state != State::Blocked)
            .await
            .unwrap();
        let count = match from.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            to.writable().await.unwrap();
            match to.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
