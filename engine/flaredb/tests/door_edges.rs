//! The front door where things go wrong in between: leaders that move, clocks that lag, answers
//! that are too long.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Duration;

use common::{Client, Host, NODE, OTHER, settings, show};
use engine::{GroupId, Index, LogId, NodeId, NodeSpec, NodeView, Op, RequestError, Term, Ticket};
use flaredb::Settings;
use flaredb::resp::reply::{Reply, put_command};

/// Performs what is under way, in order, until nothing is, and gives the output.
fn finish(client: &mut Client, host: &mut Host) -> String {
    while client.step(host) {}
    String::from_utf8(std::mem::take(&mut client.output)).unwrap()
}

fn take(client: &mut Client) -> (GroupId, Op, Ticket) {
    client.requests.pop_front().unwrap()
}

#[test]
fn a_late_read_does_not_see_what_was_sent_after_it() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    client.text(&mut host, "SET k old PX 10");
    client.text(&mut host, "SET {k}n 5 PX 10");
    host.unix_ms += 20;
    client.feed(
        &host,
        b"GET k\r\nMGET {k}n k\r\nTTL k\r\nSET k new\r\nINCR {k}n\r\nGET k\r\nGET {k}n\r\n",
    );
    assert_eq!(
        finish(&mut client, &mut host),
        "$-1\r\n*2\r\n$-1\r\n$-1\r\n:-2\r\n+OK\r\n:1\r\n$3\r\nnew\r\n$1\r\n1\r\n"
    );
    // The same with a command that writes to all groups.
    client.text(&mut host, "SET k old PX 10");
    client.text(&mut host, "SET other 1");
    host.unix_ms += 20;
    client.feed(&host, b"DBSIZE\r\nFLUSHALL\r\nDBSIZE\r\n");
    assert_eq!(finish(&mut client, &mut host), ":2\r\n+OK\r\n:0\r\n");
}

#[test]
fn a_late_read_sees_what_others_wrote_before_it_was_answered() {
    let mut host = Host::new(1);
    let (mut reader, mut writer) = (host.connect(), host.connect());
    reader.text(&mut host, "SET k old PX 10");
    host.unix_ms += 20;
    reader.feed(&host, b"GET k\r\n");
    reader.step(&mut host);
    assert_eq!(writer.text(&mut host, "SET k new"), "OK");
    assert_eq!(finish(&mut reader, &mut host), "$3\r\nnew\r\n");
}

#[test]
fn a_clock_set_back_does_not_change_the_order_of_a_connection() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    client.text(&mut host, "SET k old PX 10");
    host.unix_ms += 20;
    client.feed(&host, b"GET k\r\n");
    host.unix_ms -= 20;
    client.feed(&host, b"SET k new KEEPTTL GET\r\nTTL k\r\n");
    assert_eq!(finish(&mut client, &mut host), "$-1\r\n$-1\r\n:-1\r\n");
}

#[test]
fn a_partly_done_write_is_never_told_to_be_sent_again() {
    let mut host = Host::new(3);
    let mut client = host.connect();
    let moved = RequestError::NotLeader { leader: OTHER };
    for failure in [moved, RequestError::NoLeader, RequestError::Stopped] {
        client.feed(&host, b"FLUSHALL\r\n");
        let (_, _, ticket) = take(&mut client);
        client.settle(&host, ticket, Err(failure));
        let said = finish(&mut client, &mut host);
        assert!(said.starts_with("-UNCERTAIN only 2 of 3 groups did it: "), "{said}");
        // Nothing was done: it may be sent again.
        client.feed(&host, b"FLUSHALL\r\n");
        while let Some((_, _, ticket)) = client.requests.pop_front() {
            client.settle(&host, ticket, Err(failure));
        }
        assert!(finish(&mut client, &mut host).starts_with("-CLUSTERDOWN "));
    }
    client.feed(&host, b"FLUSHALL\r\n");
    let (_, _, ticket) = take(&mut client);
    let id = LogId::new(Term(7), Index(42));
    client.settle(&host, ticket, Err(RequestError::Uncertain { id }));
    assert!(finish(&mut client, &mut host).starts_with("-UNCERTAIN "));
}

#[test]
fn groups_between_leaders_are_asked_and_not_passed_over() {
    let mut host = Host::new(4);
    let mut client = host.connect();
    for i in 0..40 {
        client.text(&mut host, &format!("SET key{i} {i}"));
    }
    for group in [2, 3] {
        host.view.note_leader(GroupId(group), None);
    }
    assert_eq!(client.text(&mut host, "DBSIZE"), ":40");
    let (mut cursor, mut seen) = ("0".to_owned(), 0);
    loop {
        let Reply::Array(page) = client.ask(&mut host, &format!("SCAN {cursor}")) else { panic!() };
        let Reply::Array(keys) = &page[1] else { panic!() };
        seen += keys.len();
        cursor = String::from_utf8(page[0].as_bytes().unwrap().to_vec()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, 40);
    assert_eq!(client.text(&mut host, "FLUSHALL"), "OK");
    assert!(host.groups.iter().all(|kv| kv.clock() > 0), "a group was left out");
    assert_eq!(client.text(&mut host, "DBSIZE"), ":0");
}

#[test]
fn a_scan_whose_group_moves_is_not_quietly_cut_short() {
    let mut host = Host::new(2);
    let mut client = host.connect();
    for i in 0..100 {
        client.text(&mut host, &format!("SET key{i} {i}"));
    }
    let Reply::Array(page) = client.ask(&mut host, "SCAN 0 COUNT 5") else { panic!("no page") };
    let cursor = String::from_utf8(page[0].as_bytes().unwrap().to_vec()).unwrap();
    // Leadership is lost while the page is asked for: the cursor stays where it is.
    client.feed(&host, format!("SCAN {cursor} COUNT 5\r\n").as_bytes());
    let (group, _, ticket) = take(&mut client);
    assert_eq!(group, GroupId(1));
    client.settle(&host, ticket, Err(RequestError::NotLeader { leader: OTHER }));
    let said = finish(&mut client, &mut host);
    assert_eq!(said, format!("*2\r\n${}\r\n{cursor}\r\n*0\r\n", cursor.len()));
    // Now it is known who leads.
    host.view.note_leader(GroupId(1), Some(OTHER));
    let told = client.text(&mut host, &format!("SCAN {cursor} COUNT 5"));
    assert!(told.starts_with("-ERR the cursor is of keys that another node leads"), "{told}");
    // A group that had not been begun is its new leader's to scan.
    host.view.note_leader(GroupId(1), Some(NODE));
    client.feed(&host, b"SCAN 0 COUNT 5\r\n");
    let (_, _, ticket) = take(&mut client);
    client.settle(&host, ticket, Err(RequestError::NotLeader { leader: OTHER }));
    let said = finish(&mut client, &mut host);
    assert_eq!(said, "*2\r\n$15\r\n281474976710656\r\n*0\r\n");
}

#[test]
fn groups_without_a_replica_here_are_known_by_one_that_has_one() {
    let spec = |id: u64| NodeSpec {
        id: NodeId(id),
        peer_addr: ([127, 0, 0, 1], 17_000 + id as u16).into(),
        client_addr: Some(([127, 0, 0, 1], 7000 + id as u16).into()),
    };
    let mut host = Host::new(2);
    let group = |id, replicas: [u64; 3]| engine::GroupSpec {
        id: GroupId(id),
        replicas: replicas.map(NodeId).to_vec(),
    };
    let groups = vec![group(1, [1, 2, 3]), group(2, [2, 3, 4])];
    let nodes = (1..=4).map(spec).collect();
    host.view = NodeView::new(NODE, 1, nodes, groups, 1, Duration::ZERO);
    host.view.note_leader(GroupId(1), Some(NODE));
    let mut client = host.connect();
    for up in [3, 4] {
        host.view.note_connected(NodeId(up), true);
    }
    assert_eq!(client.text(&mut host, "GET foo"), "-MOVED 12182 127.0.0.1:7003");
    assert!(client.text(&mut host, "CLUSTER INFO").contains("cluster_state:ok"));
    let slots = client.text(&mut host, "CLUSTER SLOTS");
    assert!(slots.contains("[:8192 :16383 ['127.0.0.1' :7003 "), "{slots}");
    assert_eq!(client.text(&mut host, "DBSIZE"), ":0");
    assert_eq!(client.text(&mut host, "CLUSTER COUNTKEYSINSLOT 12182"), ":0");
}

#[test]
fn long_answers_under_way_cost_bounded_memory() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    let value = vec![b'x'; 1 << 20];
    assert_eq!(client.raw(&mut host, &[b"SET", b"k", &value]), b"+OK\r\n");
    client.feed(&host, "GET k\r\n".repeat(1024).as_bytes());
    // Until answers are known they are taken to be of a middling size.
    assert!(client.requests.len() <= 300, "{} at first", client.requests.len());
    while client.step(&mut host) {}
    client.output.clear();
    client.feed(&host, b"");
    assert!((1..40).contains(&client.requests.len()), "{} later", client.requests.len());
    let mut answered = 0;
    while !client.requests.is_empty() {
        while client.step(&mut host) {
            answered += 1;
        }
        assert!(client.output.len() < 40 << 20);
        client.output.clear();
        client.feed(&host, b"");
    }
    assert!(answered > 700 && client.input.is_empty());
    // Short answers open the door wide again.
    for _ in 0..4 {
        client.send(&mut host, "GET nosuch\r\n".repeat(300).as_bytes());
    }
    client.feed(&host, "GET nosuch\r\n".repeat(2000).as_bytes());
    assert!(client.requests.len() == 1024);
}

#[test]
fn an_answer_that_would_be_huge_is_refused() {
    let mut host = Host::with(Settings { value_bytes_max: 1 << 20, ..settings(1) });
    let mut client = host.connect();
    let value = vec![b'x'; 1 << 20];
    client.raw(&mut host, &[b"SET", b"k", &value]);
    let mut words: Vec<&[u8]> = vec![b"k"; 1000];
    words[0] = b"MGET";
    let said = client.raw(&mut host, &words);
    assert!(said.starts_with(b"-ERR the reply would be longer than 32 MiB"));
    let said = client.raw(&mut host, &words[..20]);
    assert!(said.starts_with(b"*19\r\n") && said.len() > 19 << 20);
    // So is one whose answer needs the clock to be advanced.
    client.text(&mut host, "SET {k}gone 1 PX 1");
    host.unix_ms += 10;
    words[1] = b"{k}gone";
    assert!(client.raw(&mut host, &words).starts_with(b"-ERR the reply would be longer"));
}

#[test]
fn a_command_longer_than_anybody_waits_for_is_refused_in_words() {
    let mut host = Host::new(1);
    let mut client = host.connect();
    let value = vec![b'x'; 1 << 20];
    let mut bytes = Vec::new();
    let mut words: Vec<&[u8]> = vec![b"MSET"];
    for _ in 0..8 {
        words.extend([&b"k"[..], &value]);
    }
    put_command(&mut bytes, &words);
    let said = client.send(&mut host, &bytes);
    assert_eq!(
        show(&Reply::parse(&said).unwrap().unwrap().0),
        "-ERR Protocol error: too big command"
    );
    assert!(client.closed);
}

#[test]
fn a_leader_that_is_gone_is_not_named() {
    let mut host = Host::new(2);
    host.view.note_leader(GroupId(2), Some(OTHER));
    let mut client = host.connect();
    assert_eq!(client.text(&mut host, "GET foo"), "-MOVED 12182 127.0.0.1:7002");
    host.view.note_connected(OTHER, false);
    client.feed(&host, b"SET foo 1\r\n");
    let (group, _, ticket) = take(&mut client);
    assert_eq!(group, GroupId(2));
    client.settle(&host, ticket, Err(RequestError::NotLeader { leader: OTHER }));
    assert!(finish(&mut client, &mut host).starts_with("-CLUSTERDOWN "));
    assert!(client.text(&mut host, "CLUSTER SLOTS").contains(":0 :16383 ['127.0.0.1' :7001 "));
    assert!(client.text(&mut host, "CLUSTER INFO").contains("cluster_slots_ok:8192"));
}
