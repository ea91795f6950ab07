//! fanfare beside the routes of an axum application, which publishes from a handler of its own.
//!
//! `cargo run -p fanfare-examples --example axum`, then `POST /orders/7/shipped`, and subscribe to
//! `orders.7` with a Centrifuge client on `/realtime/ws`, or `GET /realtime/sse?channel=orders.7`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use fanfare::auth::jwt::JwtKey;
use fanfare::{Channel, Event, Node, Priority};
use fanfare_transports::Service;
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
    let service = Service::builder(node.clone()).build();
    let app = axum::Router::new()
        .route("/orders/{id}/shipped", post(shipped))
        .with_state(node)
        .nest_service("/realtime", service);
    println!("listening on {}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// What the application does, and what it tells those who follow the order.
async fn shipped(State(node): State<Node>, Path(id): Path<u64>) -> (StatusCode, String) {
    let event = Channel::new(&format!("orders.{id}"))
        .map_err(|error| error.to_string())
        .and_then(|channel| {
            let payload = format!(r#"{{"order":{id},"status":"shipped"}}"#);
            Event::new(channel, "order.shipped", payload).map_err(|error| error.to_string())
        });
    let event = match event {
        Ok(event) => event.with_priority(Priority::High),
        Err(problem) => return (StatusCode::BAD_REQUEST, problem),
    };
    match node.publish(event).await {
        Ok(_) => (StatusCode::ACCEPTED, String::new()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
