//! Why a command is refused before anything is proposed: error replies in Redis's own words, which
//! clients match.

use std::borrow::Cow;

/// Arguments quoted in the error about an unknown command.
const QUOTED_BYTES_MAX: usize = 128;

/// An error reply, its code included. Nothing has been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(Cow<'static, [u8]>);

macro_rules! refusals {
    ($($name:ident = $text:expr;)+) => {
        $(pub(crate) const $name: Self = Self::of($text);)+
    };
}

impl Refusal {
    refusals! {
        SYNTAX = "ERR syntax error";
        NOT_AN_INTEGER = "ERR value is not an integer or out of range";
        NOT_AN_INT =
            "ERR value is out of range, value must between -2147483648 and 2147483647";
        CROSS_SLOT = "CROSSSLOT Keys in request don't hash to the same slot";
        NO_AUTH = "NOAUTH Authentication required.";
        WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled.";
        NO_PASSWORD_SET = "ERR AUTH <password> called without any password configured for the \
            default user. Are you sure your configuration is correct?";
        HELLO_NO_AUTH = "NOAUTH HELLO must be called with the client already authenticated, \
            otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the \
            client and select the RESP protocol version at the same time";
        NO_PROTO = "NOPROTO unsupported protocol version";
        BAD_PROTO = "ERR Protocol version is not an integer or out of range";
        BAD_CURSOR = "ERR invalid cursor";
        SCAN_MOVED = "ERR the cursor is of keys that another node leads now; start the scan over";
        BAD_COUNT_SLOT = "ERR Invalid slot";
        BAD_CLIENT_NAME =
            "ERR Client names cannot contain spaces, newlines or special characters.";
        BAD_CLIENT_ID = "ERR Invalid client ID";
        BAD_OFFSET = "ERR offset is out of range";
        TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
        DECREMENT = "ERR decrement would overflow";
        EXPIRE_NX = "ERR NX and XX, GT or LT options at the same time are not compatible";
        EXPIRE_GT = "ERR GT and LT options at the same time are not compatible";
        SELECT = "ERR SELECT is not allowed in cluster mode";
        TIMEOUT = "ERR timeout is negative";
        BAD_COMMAND = "ERR Invalid command specified";
        NO_KEYS = "ERR The command has no key arguments";
        BAD_KEYS = "ERR Invalid number of arguments specified for command";
        DENIED = "DENIED This server runs in protected mode: no password is set, and so it only \
            serves clients on its own machine. Set a password, or connect from there.";
    }

    const fn of(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// The reply's text.
    pub(crate) fn text(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn arity(command: &str) -> Self {
        Self::made(format!("ERR wrong number of arguments for '{command}' command"))
    }

    pub(crate) fn sub_arity(command: &str, sub: &str) -> Self {
        Self::arity(&format!("{command}|{sub}"))
    }

    pub(crate) fn bad_expire(command: &str) -> Self {
        Self::made(format!("ERR invalid expire time in '{command}' command"))
    }

    pub(crate) fn unsupported_option(option: &[u8]) -> Self {
        Self::quoting("ERR Unsupported option ", option, "")
    }

    pub(crate) fn hello_option(option: &[u8]) -> Self {
        Self::quoting("ERR Syntax error in HELLO option '", option, "'")
    }

    pub(crate) fn unknown_subcommand(command: &str, given: &[u8]) -> Self {
        let tail = format!("'. Try {} HELP.", command.to_ascii_uppercase());
        Self::quoting("ERR unknown subcommand '", given, &tail)
    }

    pub(crate) fn unknown_setting(name: &[u8]) -> Self {
        let text = "ERR Unknown option or number of arguments for CONFIG SET - '";
        Self::quoting(text, name, "'")
    }

    pub(crate) fn fixed_setting(name: &[u8]) -> Self {
        let text = "ERR CONFIG SET failed (possibly related to argument '";
        Self::quoting(text, name, "') - can't set immutable config")
    }

    pub(crate) fn unrecognised_client_option(option: &[u8]) -> Self {
        Self::quoting("ERR Unrecognized option '", option, "'")
    }

    /// The error about a command that is not in the table, with the beginning of its arguments.
    pub(crate) fn unknown_command<'a>(name: &[u8], args: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut text = b"ERR unknown command '".to_vec();
        text.extend_from_slice(cut(name, QUOTED_BYTES_MAX));
        text.extend_from_slice(b"', with args beginning with: ");
        let mut quoted = Vec::new();
        for arg in args {
            if quoted.len() >= QUOTED_BYTES_MAX {
                break;
            }
            let room = QUOTED_BYTES_MAX - quoted.len();
            quoted.push(b'\'');
            quoted.extend_from_slice(cut(arg, room));
            quoted.extend_from_slice(b"' ");
        }
        text.extend(quoted);
        Self(Cow::Owned(text))
    }

    fn made(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }

    fn quoting(head: &str, quoted: &[u8], tail: &str) -> Self {
        let quoted = cut(quoted, QUOTED_BYTES_MAX);
        Self(Cow::Owned([head.as_bytes(), quoted, tail.as_bytes()].concat()))
    }
}

/// What is quoted of a client's word: its beginning, up to a zero byte, where Redis's strings end.
fn cut(word: &[u8], length: usize) -> &[u8] {
    let end = word.iter().take(length).position(|b| *b == 0);
    &word[..end.unwrap_or(word.len().min(length))]
}
