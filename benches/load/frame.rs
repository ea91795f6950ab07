//! WebSocket frames as a server sends them (unmasked), and as a client does (masked).

/// One step of what a server sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Some bytes of a text message; `end` with its last ones.
    Text {
        bytes: &'a [u8],
        end: bool,
    },
    Ping(&'a [u8]),
    Pong,
    Close {
        code: u16,
        reason: &'a [u8],
    },
}

/// Code of a close frame without a code (RFC 6455, 7.1.5).
const NO_CODE: u16 = 1005;

/// Reads frames without waiting for their end: the bytes of a long message are given out as they come, so a connection
/// never has to keep more than an incomplete header or control frame.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    remaining: u64,
    fin: bool,
    in_message: bool,
}

impl FrameReader {
    /// Takes the next piece off `input`. `None`: what is left of `input` has to be offered again with more behind it.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Piece<'a>>, &'static str> {
        if self.remaining > 0 {
            return Ok(self.payload(input));
        }
        let Some(header) = Header::read(input)? else {
            return Ok(None);
        };
        if header.opcode >= 0x8 {
            return control(&header, input);
        }
        match (header.opcode, self.in_message) {
            (0x0, true) | (0x1, false) => {}
            (0x0, false) => return Err("continuation without a message"),
            (0x1, true) => return Err("new message inside of a fragmented one"),
            _ => return Err("neither text nor control frame"),
        }
        *input = &input[header.size..];
        self.fin = header.fin;
        self.in_message = !header.fin;
        self.remaining = header.length;
        if header.length == 0 {
            return Ok(Some(Piece::Text {
                bytes: &[],
                end: header.fin,
            }));
        }
        Ok(self.payload(input))
    }

    fn payload<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        if input.is_empty() {
            return None;
        }
        let take = usize::try_from(self.remaining).map_or(input.len(), |n| n.min(input.len()));
        let (bytes, rest) = input.split_at(take);
        *input = rest;
        self.remaining -= take as u64;
        Some(Piece::Text {
            bytes,
            end: self.remaining == 0 && self.fin,
        })
    }
}

struct Header {
    fin: bool,
    opcode: u8,
    length: u64,
    size: usize,
}

impl Header {
    fn read(input: &[u8]) -> Result<Option<Self>, &'static str> {
        let [first, second, rest @ ..] = input else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err("reserved bit set");
        }
        if second & 0x80 != 0 {
            return Err("masked frame from a server");
        }
        let (length, size) = match second & 0x7f {
            126 => match rest.first_chunk::<2>() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            length => (u64::from(length), 2),
        };
        Ok(Some(Self {
            fin: first & 0x80 != 0,
            opcode: first & 0x0f,
            length,
            size,
        }))
    }
}

fn control<'a>(header: &Header, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, &'static str> {
    if !header.fin || header.length > 125 {
        return Err("fragmented or too long control frame");
    }
    let end = header.size + header.length as usize;
    let Some(payload) = input.get(header.size..end) else {
        return Ok(None);
    };
    *input = &input[end..];
    match header.opcode {
        0x8 => Ok(Some(match payload {
            [high, low, reason @ ..] => Piece::Close {
                code: u16::from_be_bytes([*high, *low]),
                reason,
            },
            _ => Piece::Close {
                code: NO_CODE,
                reason: &[],
            },
        })),
        0x9 => Ok(Some(Piece::Ping(payload))),
        0xa => Ok(Some(Piece::Pong)),
        _ => Err("unknown opcode"),
    }
}

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xa;

pub(crate) fn text(payload: &[u8]) -> Vec<u8> {
    masked(TEXT, payload)
}

pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(PONG, payload)
}

pub(crate) fn close(code: u16) -> Vec<u8> {
    masked(CLOSE, &code.to_be_bytes())
}

/// The masking key guards proxies against hostile pages, so a constant one does here.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = Vec::with_capacity(payload.len() + 14);
    frame.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(length as u8),
            length @ 126..65_536 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    #[derive(Default)]
    struct Seen {
        messages: Vec<String>,
        pings: Vec<String>,
        code: Option<u16>,
    }

    /// Feeds `bytes` in chunks of `size`.
    fn read(bytes: &[u8], size: usize) -> Result<Seen, &'static str> {
        let (mut reader, mut pending) = (FrameReader::default(), Vec::new());
        let (mut seen, mut message) = (Seen::default(), Vec::new());
        for chunk in bytes.chunks(size) {
            pending.extend_from_slice(chunk);
            let mut input = pending.as_slice();
            while let Some(piece) = reader.next(&mut input)? {
                match piece {
                    Piece::Text { bytes, end } => {
                        message.extend_from_slice(bytes);
                        if end {
                            seen.messages
                                .push(String::from_utf8(std::mem::take(&mut message)).unwrap());
                        }
                    }
                    Piece::Ping(payload) => {
                        seen.pings
                            .push(String::from_utf8(payload.to_vec()).unwrap());
                    }
                    Piece::Pong => {}
                    Piece::Close { code, .. } => seen.code = Some(code),
                }
            }
            pending = input.to_vec();
        }
        assert!(pending.is_empty());
        Ok(seen)
    }

    #[test]
    fn any_chunking_gives_the_same_messages() {
        let long = "x".repeat(300);
        let longer = "y".repeat(70_000);
        let mut bytes = frame(0x81, b"one");
        bytes.extend(frame(0x89, b"ping"));
        bytes.extend(frame(0x81, long.as_bytes()));
        bytes.extend(frame(0x81, b""));
        bytes.extend(frame(0x81, longer.as_bytes()));
        bytes.extend(frame(0x01, b"frag"));
        bytes.extend(frame(0x89, b"between"));
        bytes.extend(frame(0x00, b""));
        bytes.extend(frame(0x80, b"ment"));
        bytes.extend(frame(0x88, &[0x0b, 0xb9, b'b', b'y', b'e']));
        for size in [1, 2, 3, 5, 7, 64, 300, 4096, bytes.len()] {
            let Seen {
                messages,
                pings,
                code,
            } = read(&bytes, size).unwrap();
            assert_eq!(messages, ["one", &long, "", &longer, "fragment"]);
            assert_eq!(pings, ["ping", "between"]);
            assert_eq!(code, Some(3001));
        }
    }

    #[test]
    fn a_close_without_a_code_is_1005() {
        assert_eq!(read(&frame(0x88, b""), 1).unwrap().code, Some(1005));
    }

    #[test]
    fn frames_that_no_server_may_send_are_errors() {
        assert!(read(&[0x81, 0x80, 0, 0, 0, 0], 6).is_err(), "masked");
        assert!(read(&frame(0xc1, b"x"), 9).is_err(), "reserved bit");
        assert!(read(&frame(0x80, b"x"), 9).is_err(), "stray continuation");
        assert!(read(&frame(0x82, b"x"), 9).is_err(), "binary");
        assert!(read(&frame(0x09, b"x"), 9).is_err(), "fragmented ping");
        assert!(read(&frame(0x89, &[0; 126]), 200).is_err(), "long ping");
        let mut nested = frame(0x01, b"a");
        nested.extend(frame(0x81, b"b"));
        assert!(read(&nested, 9).is_err(), "message inside of a message");
    }

    #[test]
    fn client_frames_are_masked() {
        for length in [0, 2, 125, 126, 65_535, 65_536] {
            let payload = vec![b'a'; length];
            let sent = text(&payload);
            assert_eq!(sent[0], 0x81);
            assert_ne!(sent[1] & 0x80, 0);
            let key: Vec<u8> = sent[sent.len() - length - 4..sent.len() - length].to_vec();
            let body = &sent[sent.len() - length..];
            assert!(
                body.iter()
                    .zip(key.iter().cycle())
                    .all(|(byte, key)| byte ^ key == b'a')
            );
        }
        assert_eq!(close(1000)[0], 0x88);
        assert_eq!(pong(b"x")[0], 0x8a);
    }
}
