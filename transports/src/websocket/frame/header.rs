use super::{MAX_CONTROL_PAYLOAD, ProtocolError, advance};

/// What a message carries, and the number that says so in its first frame (RFC 6455, section 5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DataOpcode {
    /// UTF-8.
    Text = 0x1,
    /// Any bytes.
    Binary = 0x2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ControlOpcode {
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Data(DataOpcode),
    Control(ControlOpcode),
}

/// The header of a frame from a client, with every check made that needs nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientHeader {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// The first frame of a compressed message.
    pub(super) compressed: bool,
    pub(super) length: u64,
    pub(super) key: [u8; 4],
}

/// The bytes of a header that came so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartialHeader {
    bytes: [u8; MAX_CLIENT_HEADER],
    length: u8,
}

pub(super) const FIN: u8 = 0b1000_0000;
const RESERVED: u8 = 0b0111_0000;
/// "RSV1", with which a compressed message begins (RFC 7692, section 6).
pub(super) const COMPRESSED: u8 = 0b0100_0000;
const OPCODE: u8 = 0b0000_1111;
const MASKED: u8 = 0b1000_0000;
const MAX_CLIENT_HEADER: usize = 14;

/// In the place of a short length: the length follows in two bytes.
pub(super) const LENGTH_IN_2_BYTES: u8 = 126;
/// In the place of a short length: the length follows in eight bytes.
pub(super) const LENGTH_IN_8_BYTES: u8 = 127;

impl PartialHeader {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; MAX_CLIENT_HEADER],
            length: 0,
        }
    }

    /// Consumes `input` up to the end of the header, or all of it where the header goes on.
    /// `deflate` says whether messages may be compressed.
    pub(super) fn read(
        &mut self,
        input: &mut &mut [u8],
        deflate: bool,
    ) -> Result<Option<ClientHeader>, ProtocolError> {
        let held = usize::from(self.length);
        if held == 0
            && let Some((header, length)) = ClientHeader::parse(input, deflate)?
        {
            advance(input, length);
            return Ok(Some(header));
        }
        let taken = input.len().min(MAX_CLIENT_HEADER - held);
        self.bytes[held..held + taken].copy_from_slice(&input[..taken]);
        match ClientHeader::parse(&self.bytes[..held + taken], deflate)? {
            Some((header, length)) => {
                advance(input, length - held);
                Ok(Some(header))
            }
            None => {
                advance(input, taken);
                self.length += taken as u8;
                Ok(None)
            }
        }
    }
}

impl ClientHeader {
    /// The header at the start of `bytes` and its length, or `None` where it goes on after them.
    ///
    /// Looks at the bytes in their order, so that the same stream fails for the same reason
    /// however it was cut into reads.
    fn parse(bytes: &[u8], deflate: bool) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref after @ ..] = bytes else {
            return Ok(None);
        };
        let compressed = deflate && first & RESERVED == COMPRESSED;
        if first & RESERVED != 0 && !compressed {
            return Err(ProtocolError::ReservedBits);
        }
        let fin = first & FIN != 0;
        let opcode = Opcode::parse(first & OPCODE)?;
        if compressed && !matches!(opcode, Opcode::Data(_)) {
            return Err(ProtocolError::ReservedBits);
        }
        let is_control = matches!(opcode, Opcode::Control(_));
        if is_control && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        if second & MASKED == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let short = second & !MASKED;
        if is_control && usize::from(short) > MAX_CONTROL_PAYLOAD {
            return Err(ProtocolError::ControlTooLong);
        }
        let Some((length, after)) = parse_length(short, after)? else {
            return Ok(None);
        };
        let Some((&key, after)) = after.split_first_chunk() else {
            return Ok(None);
        };
        let header = Self {
            opcode,
            fin,
            compressed,
            length,
            key,
        };
        Ok(Some((header, bytes.len() - after.len())))
    }
}

impl Opcode {
    fn parse(opcode: u8) -> Result<Self, ProtocolError> {
        Ok(match opcode {
            0x0 => Self::Continuation,
            0x1 => Self::Data(DataOpcode::Text),
            0x2 => Self::Data(DataOpcode::Binary),
            0x8 => Self::Control(ControlOpcode::Close),
            0x9 => Self::Control(ControlOpcode::Ping),
            0xA => Self::Control(ControlOpcode::Pong),
            _ => return Err(ProtocolError::ReservedOpcode(opcode)),
        })
    }
}

/// The length of the payload and the bytes after it.
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (length, minimum, after) = match short {
        LENGTH_IN_2_BYTES => {
            let Some((length, after)) = bytes.split_first_chunk() else {
                return Ok(None);
            };
            let length = u64::from(u16::from_be_bytes(*length));
            (length, u64::from(LENGTH_IN_2_BYTES), after)
        }
        LENGTH_IN_8_BYTES => {
            let Some((length, after)) = bytes.split_first_chunk() else {
                return Ok(None);
            };
            let length = u64::from_be_bytes(*length);
            (length, u64::from(u16::MAX) + 1, after)
        }
        _ => (u64::from(short), 0, bytes),
    };
    if length > i64::MAX as u64 {
        return Err(ProtocolError::LengthOutOfRange);
    }
    if length < minimum {
        return Err(ProtocolError::LengthNotMinimal);
    }
    Ok(Some((length, after)))
}
