use proptest::prelude::*;

use super::{Limits, Parser, ProtocolError};
use crate::resp::reply::{Reply, put_command};

fn limits() -> Limits {
    Limits { bulk_bytes_max: 1 << 20, arguments_max: 1 << 20, command_bytes_max: 16 << 20 }
}

/// All commands in the input, fed in pieces of these sizes by turns, and the error that ends them.
fn parse_all(input: &[u8], pieces: &[usize]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>, usize) {
    let mut parser = Parser::default();
    let mut commands = Vec::new();
    let (mut start, mut end) = (0, 0);
    for piece in pieces.iter().cycle() {
        end = (end + piece).min(input.len());
        loop {
            match parser.next(&input[start..end], &limits()) {
                Ok(Some(length)) => {
                    let args = parser.args(&input[start..end]);
                    assert_eq!(args.len(), args.from(0).count());
                    commands.push(args.from(0).map(<[u8]>::to_vec).collect());
                    start += length;
                }
                Ok(None) => break,
                Err(error) => return (commands, Some(error), input.len() - start),
            }
        }
        if end == input.len() {
            break;
        }
    }
    (commands, None, input.len() - start)
}

fn error_of(input: &[u8]) -> Option<String> {
    parse_all(input, &[input.len()]).1.map(|e| e.to_string())
}

#[test]
fn errors_are_those_of_redis() {
    for (input, text) in [
        (&b"*1x\r\n"[..], "invalid multibulk length"),
        (b"*9999999\r\n", "invalid multibulk length"),
        (b"*1\r\nx1\r\n", "expected '$', got 'x'"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$1048577\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"get 'x\r\n", "unbalanced quotes in request"),
        (b"get \"x\"y\r\n", "unbalanced quotes in request"),
    ] {
        assert_eq!(error_of(input).as_deref(), Some(text), "{}", input.escape_ascii());
    }
    assert_eq!(error_of(&vec![b'a'; 70_000]).as_deref(), Some("too big inline request"));
    assert_eq!(error_of(&[b'1'; 100]), None);
    let endless = [b"*".to_vec(), vec![b'1'; 100]].concat();
    assert_eq!(error_of(&endless).as_deref(), Some("invalid multibulk length"));
}

#[test]
fn a_stranger_may_send_less() {
    let mut parser = Parser::default();
    let error = parser.next(b"*11\r\n", &Limits::STRANGER);
    assert_eq!(error, Err(ProtocolError::StrangerArrayLength));
    let mut parser = Parser::default();
    let error = parser.next(b"*1\r\n$16385\r\n", &Limits::STRANGER);
    assert_eq!(error, Err(ProtocolError::StrangerBulkLength));
}

#[test]
fn a_huge_length_allocates_nothing() {
    let mut parser = Parser::default();
    assert_eq!(parser.next(b"*1048576\r\n$1048576\r\nabc", &limits()), Ok(None));
    assert_eq!(parser.places.capacity(), 0);
}

#[test]
fn a_command_of_many_arguments_is_bounded_as_a_whole() {
    let mut input = b"*1000\r\n".to_vec();
    for _ in 0..17 {
        input.extend_from_slice(b"$1048576\r\n");
        input.extend(std::iter::repeat_n(b'v', 1 << 20));
        input.extend_from_slice(b"\r\n");
    }
    assert_eq!(error_of(&input).as_deref(), Some("too big command"));
}

#[test]
fn inline_words_are_unquoted() {
    let input = b"set k \"a\\x41\\n\\\"b\" 'it''\r\n";
    assert!(parse_all(input, &[100]).1.is_some());
    let input = b"\r\n  set  k \"a\\x41\\n\\\"b\" 'c\\'d' \"\"\nping\r\n";
    let (commands, error, rest) = parse_all(input, &[3]);
    assert_eq!((error, rest), (None, 0));
    let words: [&[u8]; 5] = [b"set", b"k", b"aA\n\"b", b"c'd", b""];
    assert!(commands[0].is_empty());
    assert_eq!(commands[1], words.map(<[u8]>::to_vec));
    assert_eq!(commands[2], [b"ping".to_vec()]);
}

#[test]
fn empty_arrays_are_commands_without_a_name() {
    let (commands, error, rest) = parse_all(b"*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n", &[1]);
    assert_eq!((error, rest), (None, 0));
    assert_eq!(commands, [vec![], vec![], vec![b"PING".to_vec()]]);
}

fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let arg = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        proptest::collection::vec(any::<u8>(), 95..130),
    ];
    proptest::collection::vec(arg, 1..8)
}

proptest! {
    #[test]
    fn round_trip_however_torn(
        commands in proptest::collection::vec(command(), 0..8),
        pieces in proptest::collection::vec(1usize..40, 1..20),
    ) {
        let mut input = Vec::new();
        for command in &commands {
            let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            put_command(&mut input, &args);
        }
        let (whole, error, rest) = parse_all(&input, &[input.len().max(1)]);
        prop_assert_eq!((&whole, error, rest), (&commands, None, 0));
        let (torn, error, rest) = parse_all(&input, &pieces);
        prop_assert_eq!((&torn, error, rest), (&commands, None, 0));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm_and_tearing_changes_nothing(
        input in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b"*$\r\n0123-'\"\\x "[..])], 0..200),
        pieces in proptest::collection::vec(1usize..9, 1..20),
    ) {
        let whole = parse_all(&input, &[input.len().max(1)]);
        let torn = parse_all(&input, &pieces);
        prop_assert_eq!(whole.0, torn.0);
        prop_assert_eq!(whole.1, torn.1);
        let _ = Reply::parse(&input);
    }
}
