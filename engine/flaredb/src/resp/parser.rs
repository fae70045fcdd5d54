//! Requests: arrays of bulk strings, or words on a line ("inline").
//!
//! The parser borrows: it notes where the arguments of the command at the front of the input are,
//! and the caller removes the command from the input when it has used them. An unfinished command
//! is gone on with where it ended, so a command that arrives byte by byte costs no more than one
//! that arrives whole.

use crate::kv::number::parse_i64;

#[cfg(test)]
mod tests;

/// The longest line of an inline command.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// The longest line that gives a length; a length has at most 20 characters.
const LENGTH_LINE_BYTES_MAX: usize = 32;
/// The longest command: below what the engine keeps of a client's bytes, so that the client is
/// told.
const COMMAND_BYTES_MAX: usize = 6 << 20;
/// Places of arguments kept allocated between commands.
const PLACES_KEPT: usize = 1024;

/// What a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument.
    pub bulk_bytes_max: usize,
    /// Arguments of one command.
    pub arguments_max: usize,
    /// Bytes of one command.
    pub command_bytes_max: usize,
}

impl Limits {
    /// What a client may send before it has authenticated.
    pub const STRANGER: Self =
        Self { bulk_bytes_max: 16 * 1024, arguments_max: 10, command_bytes_max: 64 * 1024 };

    /// Limits for values of up to this many bytes.
    #[must_use]
    pub fn for_values(value_bytes_max: usize) -> Self {
        Self {
            bulk_bytes_max: value_bytes_max,
            arguments_max: 1024 * 1024,
            command_bytes_max: COMMAND_BYTES_MAX.max(value_bytes_max.saturating_add(1 << 20)),
        }
    }
}

/// Why the input is not RESP or is more than a client may send. The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is no number or too large. State unchanged.
    #[error("invalid multibulk length")]
    ArrayLength,
    /// Too many arguments before authentication. State unchanged.
    #[error("unauthenticated multibulk length")]
    StrangerArrayLength,
    /// The length of an argument is no number or too large. State unchanged.
    #[error("invalid bulk length")]
    BulkLength,
    /// An argument is too long before authentication. State unchanged.
    #[error("unauthenticated bulk length")]
    StrangerBulkLength,
    /// An argument does not start as one. State unchanged.
    #[error("expected '$', got '{}'", printable(*.0))]
    NotBulk(u8),
    /// An inline command is too long. State unchanged.
    #[error("too big inline request")]
    InlineLength,
    /// An inline command has an unclosed quote. State unchanged.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// The command as a whole is too long. State unchanged.
    #[error("too big command")]
    CommandLength,
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' }
}

/// The arguments of a command, the name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    places: &'a [(u32, u32)],
}

impl<'a> Args<'a> {
    /// How many there are, the name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// An argument; empty if there are not so many.
    #[must_use]
    pub fn at(&self, number: usize) -> &'a [u8] {
        match self.places.get(number) {
            Some(&(start, end)) => &self.bytes[start as usize..end as usize],
            None => b"",
        }
    }

    /// The arguments from this one on.
    pub fn from(&self, number: usize) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        let places = self.places.get(number..).unwrap_or_default();
        places.iter().map(move |&(start, end)| &bytes[start as usize..end as usize])
    }
}

/// Finds the command at the front of the input.
#[derive(Debug, Default)]
pub struct Parser {
    places: Vec<(u32, u32)>,
    /// How far the input has been understood.
    at: usize,
    /// Arguments still to come, once the array's length is known.
    left: Option<usize>,
    /// Length of the argument that is coming, once it is known.
    bulk: Option<usize>,
    /// The unquoted words of an inline command.
    words: Vec<u8>,
    inline: bool,
}

impl Parser {
    /// Looks for a whole command at the front of `input`, which must begin with what the last call
    /// left unfinished. Gives the number of bytes it takes up, or none if more are needed.
    ///
    /// # Errors
    /// The input breaks the protocol or a limit: the connection cannot go on.
    pub fn next(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        if self.at == 0 {
            self.start();
            match input.first() {
                None => return Ok(None),
                Some(b'*') => {}
                Some(_) => self.inline = true,
            }
        }
        let done = if self.inline { self.line(input)? } else { self.array(input, limits)? };
        if !done {
            let unfinished = input.len() > limits.command_bytes_max;
            return if unfinished { Err(ProtocolError::CommandLength) } else { Ok(None) };
        }
        Ok(Some(std::mem::take(&mut self.at)))
    }

    /// The arguments that the last successful call of [`Parser::next`] found. `input` begins as it
    /// did then.
    #[must_use]
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        let bytes = if self.inline { &self.words } else { input };
        Args { bytes, places: &self.places }
    }

    fn start(&mut self) {
        self.places.clear();
        self.places.shrink_to(PLACES_KEPT);
        self.left = None;
        self.bulk = None;
        self.inline = false;
    }

    fn array(&mut self, input: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let stranger = *limits == Limits::STRANGER;
        let mut left = match self.left {
            Some(left) => left,
            None => {
                let Some((length, end)) =
                    length_line(&input[1..]).map_err(|()| ProtocolError::ArrayLength)?
                else {
                    return Ok(false);
                };
                if stranger && length > limits.arguments_max as i64 {
                    return Err(ProtocolError::StrangerArrayLength);
                }
                if length > limits.arguments_max as i64 {
                    return Err(ProtocolError::ArrayLength);
                }
                self.at = 1 + end;
                usize::try_from(length).unwrap_or(0)
            }
        };
        while left > 0 {
            let length = match self.bulk.take() {
                Some(length) => length,
                None => match self.bulk_header(input, limits, stranger)? {
                    Some(length) => length,
                    None => break,
                },
            };
            if input.len() < self.at + length + 2 {
                self.bulk = Some(length);
                break;
            }
            self.places.push((self.at as u32, (self.at + length) as u32));
            self.at += length + 2;
            left -= 1;
        }
        self.left = Some(left);
        Ok(left == 0)
    }

    fn bulk_header(
        &mut self,
        input: &[u8],
        limits: &Limits,
        stranger: bool,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(first) = input.get(self.at) else {
            return Ok(None);
        };
        if *first != b'$' {
            return Err(ProtocolError::NotBulk(*first));
        }
        let Some((length, end)) =
            length_line(&input[self.at + 1..]).map_err(|()| ProtocolError::BulkLength)?
        else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| ProtocolError::BulkLength)?;
        if length > limits.bulk_bytes_max {
            let error = if stranger {
                ProtocolError::StrangerBulkLength
            } else {
                ProtocolError::BulkLength
            };
            return Err(error);
        }
        self.at += 1 + end;
        if self.at + length > limits.command_bytes_max {
            return Err(ProtocolError::CommandLength);
        }
        Ok(Some(length))
    }

    fn line(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let Some(length) = input[self.at..].iter().position(|b| *b == b'\n') else {
            self.at = input.len();
            let long = input.len() > INLINE_BYTES_MAX;
            return if long { Err(ProtocolError::InlineLength) } else { Ok(false) };
        };
        let end = self.at + length;
        if end > INLINE_BYTES_MAX {
            return Err(ProtocolError::InlineLength);
        }
        self.at = end + 1;
        let line = &input[..end];
        self.words.clear();
        split_words(line.strip_suffix(b"\r").unwrap_or(line), &mut self.words, &mut self.places)
            .ok_or(ProtocolError::Quotes)?;
        Ok(true)
    }
}

/// The number on the line at the front, and where the next line starts; none if the line is
/// unfinished.
fn length_line(input: &[u8]) -> Result<Option<(i64, usize)>, ()> {
    // The lengths of nearly all arguments have one or two digits.
    if let [digit @ b'0'..=b'9', b'\r', _, ..] = input {
        return Ok(Some((i64::from(digit - b'0'), 3)));
    }
    if let [tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] = input {
        return Ok(Some((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), 4)));
    }
    let window = &input[..input.len().min(LENGTH_LINE_BYTES_MAX)];
    match window.iter().position(|b| *b == b'\r') {
        None if window.len() == LENGTH_LINE_BYTES_MAX => Err(()),
        None => Ok(None),
        Some(end) => {
            let length = parse_i64(&input[..end]).ok_or(())?;
            Ok((input.len() > end + 1).then_some((length, end + 2)))
        }
    }
}

/// Splits a line into words: at blanks, with `'..'` and `".."` quoting them and escapes within.
/// None if a quote is not closed, or closed in the middle of a word.
fn split_words(line: &[u8], words: &mut Vec<u8>, places: &mut Vec<(u32, u32)>) -> Option<()> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(());
        }
        let start = words.len() as u32;
        while let Some((first, after)) = rest.split_first() {
            rest = match first {
                b'"' | b'\'' => quoted(*first, after, words)?,
                blank if blank.is_ascii_whitespace() => break,
                _ => {
                    words.push(*first);
                    after
                }
            };
            let closed = matches!(first, b'"' | b'\'');
            if closed && rest.first().is_some_and(|b| !b.is_ascii_whitespace()) {
                return None;
            }
        }
        places.push((start, words.len() as u32));
    }
}

/// Unquotes up to the closing quote; gives what comes after it.
fn quoted<'a>(quote: u8, text: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return None,
            [end, after @ ..] if *end == quote => return Some(after),
            [b'\\', b'x', high, low, after @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                words.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => {
                words.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [b'\\', b'\'', after @ ..] if quote == b'\'' => {
                words.push(b'\'');
                after
            }
            [plain, after @ ..] => {
                words.push(*plain);
                after
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
