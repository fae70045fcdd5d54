//! The front door over state machines in memory: order, routing, failures, bad input.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Host, OTHER, settings, show};
use engine::{GroupId, Index, LogId, Op, RequestError, Term};
use flaredb::Settings;
use flaredb::resp::reply::Reply;
use flaredb::slots::SlotMap;

#[test]
fn strings_do_what_they_should() {
    let mut host = Host::new(4);
    let mut client = host.connect();
    for (command, reply) in [
        ("SET k v", "OK"),
        ("get k", "'v'"),
        ("GET nosuch", "nil"),
        ("SET k w NX", "nil"),
        ("SET k w XX GET", "'v'"),
        ("APPEND k xyz", ":4"),
        ("STRLEN k", ":4"),
        ("GETRANGE k -3 -1", "'xyz'"),
        ("SETRANGE k 6 !", ":7"),
        ("GETDEL k", "'wxyz\0\0!'"),
        ("INCR n", ":1"),
        ("DECRBY n 10", ":-9"),
        ("INCRBY n 9223372036854775807", ":9223372036854775798"),
        ("INCRBY n 10", "-ERR increment or decrement would overflow"),
        ("MSET {t}a 1 {t}b 2", "OK"),
        ("MGET {t}a {t}x {t}b", "['1' nil '2']"),
        ("MSETNX {t}a 9 {t}c 3", ":0"),
        ("EXISTS {t}a {t}a {t}c", ":2"),
        ("DEL {t}a {t}b {t}c", ":2"),
        ("TYPE n", "string"),
        ("TYPE m", "none"),
        ("PING", "PONG"),
        ("ECHO hi", "'hi'"),
        ("DBSIZE", ":1"),
        ("FLUSHALL", "OK"),
        ("DBSIZE", ":0"),
    ] {
        assert_eq!(client.text(&mut host, command), reply, "{command}");
    }
}

#[test]
fn replies_come_in_the_order_asked_however_outcomes_come() {
    let mut host = Host::new(8);
    let mut client = host.connect();
    let mut asked = String::new();
    for i in 0..40 {
        asked += &format!("SET key{i} {i}\r\nECHO a{i}\r\nGET key{i}\r\nNOSUCH\r\nGET\r\n");
    }
    client.feed(&host, asked.as_bytes());
    assert!(client.output.is_empty());
    let requests: Vec<_> = client.requests.drain(..).collect();
    let outcomes: Vec<_> = requests.iter().map(|(group, op, _)| host.perform(*group, op)).collect();
    let mut settled: Vec<_> = requests.into_iter().zip(outcomes).collect();
    settled.reverse();
    settled.swap(3, 60);
    for ((_, _, ticket), outcome) in settled {
        client.settle(&host, ticket, outcome);
    }
    let mut expected = String::new();
    for i in 0..40 {
        let digits = i.to_string();
        expected += &format!(
            "+OK\r\n${}\r\na{i}\r\n${}\r\n{i}\r\n\
             -ERR unknown command 'NOSUCH', with args beginning with: \r\n\
             -ERR wrong number of arguments for 'get' command\r\n",
            digits.len() + 1,
            digits.len()
        );
    }
    assert_eq!(String::from_utf8_lossy(&client.output), expected);
}

#[test]
fn a_burst_is_submitted_at_once_and_parsing_stops_when_the_door_is_full() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    client.feed(&host, "SET k v\r\n".repeat(3000).as_bytes());
    assert_eq!(client.requests.len(), 1024);
    client.run(&mut host);
    assert_eq!(client.output, "+OK\r\n".repeat(3000).into_bytes());
}

#[test]
fn local_commands_behind_a_request_cost_bounded_memory() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    client.feed(&host, b"GET k\r\n");
    for _ in 0..100 {
        client.feed(&host, "COMMAND\r\n".repeat(1000).as_bytes());
    }
    assert!(client.input.len() > 800_000, "parsing went on");
    let before = client.input.len();
    client.step(&mut host);
    assert!(client.output.len() < 2 << 20);
    client.output.clear();
    client.feed(&host, b"");
    assert!(client.input.len() < before, "parsing did not go on");
}

#[test]
fn another_leader_is_named_at_once() {
    let mut host = Host::new(2);
    host.view.note_leader(GroupId(2), Some(OTHER));
    let mut client = host.connect();
    // foo is in slot 12182, bar in 5061.
    assert_eq!(client.text(&mut host, "GET foo"), "-MOVED 12182 127.0.0.1:7002");
    assert_eq!(client.text(&mut host, "SET foo x EX nonsense"), "-MOVED 12182 127.0.0.1:7002");
    assert_eq!(client.text(&mut host, "SET bar 1"), "OK");
    let crossed = "-CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(client.text(&mut host, "MGET foo bar"), crossed);
    assert_eq!(client.text(&mut host, "DBSIZE"), ":1");
}

#[test]
fn failures_say_what_may_have_happened() {
    let host = Host::new(2);
    let mut client = Host::new(2).connect();
    let id = LogId::new(Term(7), Index(42));
    let busy = RequestError::Busy { retry_after: Duration::from_millis(25) };
    for (error, reply) in [
        (RequestError::NotLeader { leader: OTHER }, "MOVED 12182 127.0.0.1:7002"),
        (RequestError::Uncertain { id }, "UNCERTAIN 7 42"),
        (busy, "OVERLOADED retry_after_ms=25 reason=requests"),
        (RequestError::TooLarge, "ERR the command is larger than a log entry may be"),
    ] {
        client.feed(&host, b"SET foo 1\r\n");
        let (_, _, ticket) = client.requests.pop_front().unwrap();
        client.settle(&host, ticket, Err(error));
        let said = String::from_utf8(std::mem::take(&mut client.output)).unwrap();
        assert_eq!(said, format!("-{reply}\r\n"));
    }
    host.view.note_leader(GroupId(2), None);
    for error in
        [RequestError::NoLeader, RequestError::Stopped, RequestError::UnknownGroup(GroupId(2))]
    {
        client.feed(&host, b"SET foo 1\r\n");
        let (_, _, ticket) = client.requests.pop_front().unwrap();
        client.settle(&host, ticket, Err(error));
        let said = std::mem::take(&mut client.output);
        assert!(said.starts_with(b"-CLUSTERDOWN Hash slot not served"), "{error}");
    }
}

#[test]
fn a_read_past_a_deadline_advances_the_group_clock_first() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    assert_eq!(client.text(&mut host, "SET k v PX 100"), "OK");
    host.unix_ms += 100;
    assert_eq!(client.text(&mut host, "GET k"), "'v'");
    assert_eq!(host.logs[0].len(), 1);
    host.unix_ms += 1;
    client.feed(&host, b"GET k\r\nPTTL k\r\n");
    let read = client.requests.pop_front().unwrap();
    let other = client.requests.pop_front().unwrap();
    let outcome = host.perform(read.0, &read.1);
    client.settle(&host, read.2, outcome);
    let (group, advance, ticket) = client.requests.pop_front().unwrap();
    assert!(matches!(advance, Op::Write(_)) && ticket == read.2);
    assert!(client.output.is_empty());
    let outcome = host.perform(group, &advance);
    client.settle(&host, ticket, outcome);
    client.requests.push_back(other);
    client.run(&mut host);
    assert_eq!(client.output, b"$-1\r\n:-2\r\n");
    assert_eq!(host.logs[0].len(), 2);
    // A clock that is set back revives nothing.
    host.unix_ms -= 50;
    client.output.clear();
    assert_eq!(client.text(&mut host, "GET k"), "nil");
    assert_eq!(client.text(&mut host, "SET k w PX 100"), "OK");
    assert_eq!(client.text(&mut host, "PTTL k"), ":100");
}

#[test]
fn a_read_whose_clock_entry_is_uncertain_is_told_to_try_again() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    client.text(&mut host, "SET k v PX 1");
    host.unix_ms += 10;
    client.feed(&host, b"GET k\r\n");
    client.step(&mut host);
    let (_, _, ticket) = client.requests.pop_front().unwrap();
    let id = LogId::new(Term(1), Index(2));
    client.settle(&host, ticket, Err(RequestError::Uncertain { id }));
    assert!(client.output.starts_with(b"-CLUSTERDOWN"));
}

fn scan_all(host: &mut Host, options: &str) -> Vec<String> {
    let mut client = host.connect();
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    loop {
        let Reply::Array(page) = client.ask(host, &format!("SCAN {cursor}{options}")) else {
            panic!("not a page")
        };
        let Reply::Array(found) = &page[1] else { panic!("not keys") };
        keys.extend(found.iter().map(show));
        cursor = String::from_utf8(page[0].as_bytes().unwrap().to_vec()).unwrap();
        if cursor == "0" {
            return keys;
        }
    }
}

#[test]
fn a_scan_walks_the_groups_led_here() {
    let mut host = Host::new(5);
    let mut client = host.connect();
    for i in 0..300 {
        client.text(&mut host, &format!("SET key{i} v"));
    }
    let mut keys = scan_all(&mut host, "");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 300);
    assert_eq!(scan_all(&mut host, " MATCH key1? COUNT 7").len(), 10);
    assert_eq!(scan_all(&mut host, " TYPE hash").len(), 0);
    let led_elsewhere = [GroupId(1), GroupId(3), GroupId(5)];
    for group in led_elsewhere {
        host.view.note_leader(group, Some(OTHER));
    }
    let map = SlotMap::new(5);
    let here = (0..300)
        .map(|i| format!("key{i}"))
        .filter(|key| {
            !led_elsewhere.contains(&map.group_of(flaredb::slots::slot_of(key.as_bytes())))
        })
        .count();
    assert_eq!(scan_all(&mut host, " COUNT 1000").len(), here);
    assert_eq!(client.text(&mut host, "DBSIZE"), format!(":{here}"));
    let Reply::Array(keys) = client.ask(&mut host, "KEYS *") else { panic!("no array") };
    assert_eq!(keys.len(), here);
}

#[test]
fn slots_shards_and_nodes_agree_and_leave_no_slot_out() {
    let mut host = Host::new(4);
    host.view.note_leader(GroupId(2), Some(OTHER));
    host.view.note_leader(GroupId(4), None);
    let mut client = host.connect();
    let me = client.text(&mut host, "CLUSTER MYID").trim_matches('\'').to_owned();
    assert_eq!(me.len(), 40);
    let Reply::Array(slots) = client.ask(&mut host, "CLUSTER SLOTS") else { panic!() };
    let slots: Vec<String> = slots.iter().map(show).collect();
    let other = slots[1].split('\'').nth(3).unwrap().to_owned();
    assert_eq!(slots[0], format!("[:0 :4095 ['127.0.0.1' :7001 '{me}' []]]"));
    assert_eq!(slots[1], format!("[:4096 :8191 ['127.0.0.1' :7002 '{other}' []]]"));
    // Group 4 has no leader: whoever is asked lets requests wait for one.
    assert_eq!(slots[2], format!("[:8192 :16383 ['127.0.0.1' :7001 '{me}' []]]"));
    assert_eq!(slots.len(), 3);
    let nodes = client.text(&mut host, "CLUSTER NODES");
    let mine =
        format!("{me} 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-4095 8192-16383");
    assert!(nodes.contains(&mine), "{nodes}");
    let theirs = format!("{other} 127.0.0.1:7002@17002 master - 0 0 2 connected 4096-8191");
    assert!(nodes.contains(&theirs), "{nodes}");
    let shards = client.text(&mut host, "CLUSTER SHARDS");
    assert!(shards.starts_with("[['slots' [:0 :4095 :8192 :16383] 'nodes' "), "{shards}");
    assert!(client.text(&mut host, "CLUSTER INFO").contains("cluster_state:fail"));
    host.view.note_leader(GroupId(4), Some(OTHER));
    assert!(client.text(&mut host, "CLUSTER INFO").contains("cluster_state:ok"));
    host.view.note_connected(OTHER, false);
    assert!(client.text(&mut host, "CLUSTER INFO").contains("cluster_state:fail"));
    client.text(&mut host, "SET bar 1");
    assert_eq!(client.text(&mut host, "CLUSTER KEYSLOT bar"), ":5061");
    host.view.note_leader(GroupId(2), Some(common::NODE));
    client.text(&mut host, "SET bar 1");
    assert_eq!(client.text(&mut host, "CLUSTER COUNTKEYSINSLOT 5061"), ":1");
}

#[test]
fn a_password_is_asked_for() {
    let mut host = Host::with(Settings { password: Some("secret".into()), ..settings(1) });
    let mut client = host.connect_from("192.0.2.9:1000".parse().unwrap());
    assert_eq!(client.text(&mut host, "GET k"), "-NOAUTH Authentication required.");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(client.text(&mut host, "AUTH guess"), wrong);
    assert_eq!(client.text(&mut host, "AUTH other secret"), wrong);
    assert!(client.text(&mut host, "HELLO 3").starts_with("-NOAUTH HELLO must be called"));
    assert_eq!(client.text(&mut host, "AUTH secret"), "OK");
    assert_eq!(client.text(&mut host, "GET k"), "nil");
    assert_eq!(client.text(&mut host, "RESET"), "RESET");
    assert_eq!(client.text(&mut host, "PING"), "-NOAUTH Authentication required.");
    let hello = client.text(&mut host, "HELLO 3 AUTH default secret SETNAME me");
    assert!(hello.starts_with("{'server'='redis' 'version'='7.0.15' 'proto'=:3"), "{hello}");
    assert_eq!(client.text(&mut host, "CLIENT GETNAME"), "'me'");
    assert_eq!(client.raw(&mut host, &[b"GET", b"k"]), b"_\r\n");
}

#[test]
fn without_a_password_only_this_machine_is_served() {
    let mut host = Host::new(1);
    let mut client = host.connect_from("192.0.2.9:1000".parse().unwrap());
    client.feed(&host, b"PING\r\nPING\r\n");
    assert!(client.output.starts_with(b"-DENIED ") && client.closed);
    assert_eq!(client.output.iter().filter(|b| **b == b'\n').count(), 1);
}

#[test]
fn bad_input_is_answered_in_its_turn_and_ends_the_connection() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    client.feed(&host, b"SET k v\r\n*1\r\n!bad\r\nPING\r\n");
    assert!(client.output.is_empty() && !client.closed);
    client.run(&mut host);
    let expected = b"+OK\r\n-ERR Protocol error: expected '$', got '!'\r\n";
    assert_eq!(client.output, expected);
    assert!(client.closed && client.input.is_empty());

    let mut client = host.connect();
    let said = client.send(&mut host, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n");
    assert_eq!(said, b"-ERR Protocol error: invalid bulk length\r\n");
    assert!(client.closed);

    let mut client = host.connect();
    client.feed(&host, b"QUIT\r\nPING\r\n");
    assert_eq!(client.output, b"+OK\r\n");
    assert!(client.closed);

    let mut client = host.connect();
    client.feed(&host, b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nFLUSHALL\r\n");
    assert!(client.closed && client.requests.is_empty());
}

#[test]
fn a_half_command_waits_for_its_rest() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n" {
        assert!(client.output.is_empty());
        client.feed(&host, &[*byte]);
    }
    client.run(&mut host);
    assert_eq!(client.output, b"+OK\r\n");
}

#[test]
fn clients_are_listed_until_they_leave() {
    let mut host = Host::new(1);
    let mut first = host.connect();
    let second = host.connect();
    first.text(&mut host, "CLIENT SETNAME one");
    first.text(&mut host, "CLIENT SETINFO LIB-NAME lib");
    let list = first.text(&mut host, "CLIENT LIST");
    assert!(list.contains("name=one") && list.contains("lib-name=lib"), "{list}");
    assert_eq!(list.matches("id=").count(), 2);
    drop(second);
    assert_eq!(first.text(&mut host, "CLIENT LIST").matches("id=").count(), 1);
}

#[test]
fn info_shows_group_commit_and_the_command_table_is_complete() {
    let mut host = Host::new(2);
    let mut client = host.connect();
    client.text(&mut host, "SET k v");
    host.view.shards()[0].wal_writes.add(2);
    host.view.shards()[0].wal_entries.add(9);
    let info = client.text(&mut host, "INFO");
    for expected in [
        "redis_version:7.0.15",
        "total_commands_processed:1",
        "wal_writes:2",
        "wal_entries_per_write:4.50",
        "group2:slots=8192-16383,leader=1,core=0,keys=0",
        "core0:commands=1,",
        "cluster_enabled:1",
        "db0:keys=1,expires=0",
    ] {
        assert!(info.contains(expected), "{expected} is not in {info}");
    }
    assert!(!client.text(&mut host, "INFO server").contains("# Stats"));
    let Reply::Integer(count) = client.ask(&mut host, "COMMAND COUNT") else { panic!() };
    let Reply::Array(all) = client.ask(&mut host, "COMMAND") else { panic!() };
    assert_eq!(all.len() as i64, count);
    let get = "['get' :2 [readonly fast] :1 :1 :1 [@read @string @fast] [] [] []]";
    assert_eq!(client.text(&mut host, "COMMAND INFO get nosuch"), format!("[{get} nil]"));
    assert_eq!(client.text(&mut host, "COMMAND GETKEYS mset a 1 b 2"), "['a' 'b']");
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let host = Host::new(1);
    let mut client = Host::new(1).connect();
    client.feed(&host, b"GET k\r\n");
    let (_, _, ticket) = client.requests.pop_front().unwrap();
    client.settle(&host, ticket, Ok(Bytes::from_static(b"?")));
    assert_eq!(client.output, b"-ERR the group's answer was not understood\r\n");
}
