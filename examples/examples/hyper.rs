//! fanfare as the only service of a server made of plain hyper, HTTP/1.1 and HTTP/2 on one port.
//!
//! `cargo run -p fanfare-examples --example hyper`, then publish by the server API with the key `a key`.

use fanfare::Node;
use fanfare::auth::jwt::JwtKey;
use fanfare_transports::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve(TcpListener::bind("127.0.0.1:3000").await?, b"a secret").await
}

/// Serves until the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    secret: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder().jwt(JwtKey::Hs256(secret))?.start().await?;
    let service = Service::builder(node).api_key("a key").build();
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        // One flush is one write: nothing is gained by waiting for more.
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // An error is the client's end of the connection.
            let _ = server
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}
