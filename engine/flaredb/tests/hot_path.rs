//! The cost of a command in this crate alone: parse, route, encode, apply, render. Prints a figure
//! in release builds: `cargo test --release -p flaredb --test hot_path -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Instant;

use bytes::BytesMut;
use common::Host;
use engine::{ApplyBatch, Door, Index, LogId, Op, Protocol, Replies, StateMachine, Term};
use flaredb::resp::reply::put_command;

const PIPELINE: usize = 256;
const ROUNDS: usize = if cfg!(debug_assertions) { 20 } else { 8_000 };

fn drive(name: &str, make: impl Fn(usize) -> Vec<Vec<u8>>) {
    let mut host = Host::new(1);
    let mut client = host.connect();
    let bursts: Vec<Vec<u8>> = (0..64)
        .map(|burst| {
            let mut bytes = Vec::new();
            for i in 0..PIPELINE {
                let args = make(burst * PIPELINE + i);
                put_command(&mut bytes, &args.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }
            bytes
        })
        .collect();
    let (mut output, mut requests, mut closing) = (Vec::new(), Vec::new(), false);
    let (mut input, mut entries, mut replies) = (BytesMut::new(), Vec::new(), Replies::default());
    let mut replied = 0;
    let started = Instant::now();
    for round in 0..ROUNDS {
        input.extend_from_slice(&bursts[round % bursts.len()]);
        let mut door =
            Door::new(&mut output, &mut requests, &mut closing, &host.view, host.unix_ms);
        client.protocol.on_bytes(&mut input, &mut door);
        let burst: Vec<_> = std::mem::take(&mut requests);
        entries.clear();
        for (_, op, _) in &burst {
            if let Op::Write(entry) = op {
                entries.push((LogId::new(Term(1), Index(1)), entry.clone()));
            }
        }
        let machine = &mut host.groups[0];
        machine.apply(&mut ApplyBatch::new(&entries, &mut replies));
        let (mut written, mut read) = (0, Vec::new());
        for (_, op, ticket) in burst {
            let answer = match op {
                Op::Write(_) => {
                    written += 1;
                    bytes::Bytes::copy_from_slice(replies.reply(written - 1))
                }
                Op::Read(query) => {
                    read.clear();
                    machine.read(&query, &mut read);
                    bytes::Bytes::copy_from_slice(&read)
                }
            };
            let mut door =
                Door::new(&mut output, &mut requests, &mut closing, &host.view, host.unix_ms);
            client.protocol.on_outcome(ticket, Ok(answer), &mut door);
        }
        replied += output.len();
        output.clear();
    }
    let elapsed = started.elapsed();
    let commands = ROUNDS * PIPELINE;
    assert!(replied >= commands * 4 && !closing);
    let rate = commands as f64 / elapsed.as_secs_f64() / 1e6;
    println!("{name}: {rate:.2} million commands per second");
}

#[test]
fn the_hot_path() {
    let key = |i: usize| format!("key:{:012}", i * 7919 % 100_000).into_bytes();
    let value = vec![b'x'; 64];
    drive("SET", |i| vec![b"SET".to_vec(), key(i), value.clone()]);
    drive("GET", |i| vec![b"GET".to_vec(), key(i)]);
    drive("INCR", |i| vec![b"INCR".to_vec(), key(i)]);
}
