//! Just enough of an HTTP/1.1 client to post to one path on one kept connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) struct Poster {
    reader: BufReader<TcpStream>,
    head: String,
    request: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Poster {
    /// `headers`: whole lines.
    pub(crate) fn connect(
        address: SocketAddr,
        host: &str,
        path: &str,
        headers: &str,
    ) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}"
        );
        Ok(Self {
            reader: BufReader::new(stream),
            head,
            request: Vec::new(),
        })
    }

    pub(crate) fn post(&mut self, body: &[u8]) -> std::io::Result<Answer> {
        self.request.clear();
        write!(
            self.request,
            "{}Content-Length: {}\r\n\r\n",
            self.head,
            body.len()
        )?;
        self.request.extend_from_slice(body);
        self.reader.get_mut().write_all(&self.request)?;
        read_answer(&mut self.reader)
    }
}

fn read_answer(reader: &mut impl BufRead) -> std::io::Result<Answer> {
    let status_line = read_line(reader)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| malformed(&status_line))?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(malformed(&line));
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| malformed(&line))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    let mut body = Vec::new();
    if !chunked {
        read_more(reader, length, &mut body)?;
        return Ok(Answer { status, body });
    }
    loop {
        let line = read_line(reader)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| malformed(&line))?;
        read_more(reader, size, &mut body)?;
        if !read_line(reader)?.is_empty() {
            return Err(malformed("chunk without end"));
        }
        if size == 0 {
            return Ok(Answer { status, body });
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

fn read_more(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> std::io::Result<()> {
    if reader.take(length).read_to_end(body)? as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn malformed(text: &str) -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        format!("malformed answer: {text}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_length_and_in_chunks_follow_each_other() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
                    HTTP/1.1 429 Too Many Requests\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\n\r\n\
                    HTTP/1.1 204 No Content\r\n\r\n";
        let mut reader = text.as_bytes();
        assert_eq!(
            read_answer(&mut reader).unwrap(),
            Answer {
                status: 200,
                body: b"abc".to_vec()
            }
        );
        assert_eq!(
            read_answer(&mut reader).unwrap(),
            Answer {
                status: 429,
                body: b"def".to_vec()
            }
        );
        assert_eq!(
            read_answer(&mut reader).unwrap(),
            Answer {
                status: 204,
                body: Vec::new()
            }
        );
        assert!(read_answer(&mut reader).is_err());
    }

    #[test]
    fn a_cut_off_answer_is_an_error() {
        assert!(
            read_answer(&mut "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab".as_bytes()).is_err()
        );
    }
}
