//! What browsers let pages of other origins read (the Fetch standard, "HTTP extensions": CORS).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::Body;
use crate::origin::AllowedOrigins;

/// What clients of all transports send.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, last-event-id, content-type, cache-control");
/// When to come back, which pages may otherwise not see.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after");
/// Seconds for which a preflight holds: two hours, the most that Chromium believes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Whether a client connects on this path, or talks on a connection that it has: pages of foreign
/// origins may not.
pub(crate) fn connects(path: &str) -> bool {
    matches!(
        path,
        "/ws" | "/sse" | "/poll" | "/socket.io/" | "/emulation"
    ) || path.starts_with("/connection/")
}

/// What a request to a path for clients is answered with besides the answer. The server API is none:
/// its key is not for browsers.
#[derive(Debug)]
pub(crate) struct Cors {
    is_preflight: bool,
    /// As it was sent; none where there is none, or one that is not allowed.
    origin: Option<HeaderValue>,
}

impl Cors {
    /// None where the path is not for clients.
    pub(crate) fn of<B>(request: &Request<B>, origins: &AllowedOrigins) -> Option<Self> {
        let path = request.uri().path();
        if !connects(path) && path != "/health" {
            return None;
        }
        let headers = request.headers();
        let origin = headers
            .get(ORIGIN)
            .filter(|_| origins.allow(request.uri(), headers));
        Some(Self {
            is_preflight: request.method() == Method::OPTIONS
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            origin: origin.cloned(),
        })
    }

    /// The answer to the question whether a page may send its request, if that was asked and it may.
    pub(crate) fn preflight(&self) -> Option<Response<Body>> {
        if !self.is_preflight || self.origin.is_none() {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(response)
    }

    /// Lets the page read an answer, be it an error.
    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        // Also where there is no origin: a cache must not give such an answer to a page.
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self.origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        if !self.is_preflight {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}
