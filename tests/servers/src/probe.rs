//! Asking a server whether it is there.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take. A server that is about to be ready is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Whether a server answers a request with something that begins like this.
pub(crate) fn answers(address: SocketAddr, request: &[u8], beginning: &[u8]) -> bool {
    let mut answer = vec![0; beginning.len()];
    ask(address, request, &mut answer).is_ok() && answer == beginning
}

/// Sends a request and fills `answer` with the first bytes of what comes.
pub(crate) fn ask(address: SocketAddr, request: &[u8], answer: &mut [u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(request)?;
    stream.read_exact(answer)
}
