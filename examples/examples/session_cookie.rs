//! An authenticator of one's own: clients are known by the session cookie of the application they log in to.
//!
//! `cargo run -p fanfare-examples --example session_cookie`, then `POST /login/alice`, and with the cookie that comes
//! back `GET /sse?channel=user.alice`. A browser sends it by itself, to WebSockets too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use fanfare::{AuthError, Authenticator, BoxFuture, Handshake, Identity, Node};
use fanfare_transports::Service;
use tokio::net::TcpListener;

/// How long a session lasts; its connections end with it.
const LASTS: Duration = Duration::from_secs(8 * 60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve(TcpListener::bind("127.0.0.1:3000").await?).await
}

/// Serves until the listener fails.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Sessions::default();
    let node = Node::builder()
        .authenticator(sessions.clone())
        .start()
        .await?;
    let service = Service::builder(node).api_key("a key").build();
    let app = axum::Router::new()
        .route("/login/{user}", post(log_in))
        .route("/logout", post(log_out))
        .with_state(sessions)
        .fallback_service(service);
    println!("listening on {}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// Who is logged in, by the cookie's value. An application has this in its database.
#[derive(Clone, Debug, Default)]
struct Sessions(Arc<Mutex<HashMap<String, Identity>>>);

impl Sessions {
    fn find(&self, headers: &HeaderMap) -> Option<Identity> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(cookie(headers)?).cloned()
    }
}

impl Authenticator for Sessions {
    fn authenticate<'a>(
        &'a self,
        _token: Option<&'a str>,
        handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        Box::pin(async {
            match self.find(&handshake.headers) {
                Some(identity) if identity.expires_at > Some(SystemTime::now()) => Ok(identity),
                Some(_) => Err(AuthError::Expired),
                None => Err(AuthError::Missing),
            }
        })
    }
}

/// The value of the cookie `session`.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split("; "));
    pairs.find_map(|pair| pair.strip_prefix("session="))
}

/// Passwords are left out.
async fn log_in(State(sessions): State<Sessions>, Path(user): Path<String>) -> impl IntoResponse {
    let Ok(mut identity) = Identity::new(&user) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    identity.expires_at = Some(SystemTime::now() + LASTS);
    let id = format!("{:032x}", rand::random::<u128>());
    let cookie = format!("session={id}; Path=/; HttpOnly; SameSite=Strict");
    let mut open = sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
    open.insert(id, identity);
    [(header::SET_COOKIE, cookie)].into_response()
}

async fn log_out(State(sessions): State<Sessions>, headers: HeaderMap) -> StatusCode {
    let mut open = sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
    match cookie(&headers).and_then(|id| open.remove(id)) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::UNAUTHORIZED,
    }
}
