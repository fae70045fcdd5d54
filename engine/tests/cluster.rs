//! Three nodes in one process over real sockets, logs and rings: they agree, and they come back.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use engine::{
    ApplyBatch, Client, Engine, EngineConfig, GroupId, GroupSpec, NodeId, NodeSpec, Outcome,
    RequestError, StateMachine,
};

const GROUPS: u64 = 6;
const SHARDS: usize = 2;

/// Remembers every command; the reply is how many there are.
#[derive(Default)]
struct Journal(Vec<Vec<u8>>);

impl StateMachine for Journal {
    fn apply(&mut self, batch: &mut ApplyBatch<'_>) {
        while let Some((_, command, reply)) = batch.next_entry() {
            self.0.push(command.to_vec());
            reply.extend_from_slice(&(self.0.len() as u64).to_be_bytes());
        }
    }
    fn read(&mut self, _: &[u8], reply: &mut Vec<u8>) {
        for command in &self.0 {
            reply.extend_from_slice(command);
        }
    }
    fn digest(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Addresses that are free, below the ports that systems give to outgoing connections. Tests of one
/// process get different ones.
fn nodes() -> Vec<NodeSpec> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 22_000 + (std::process::id() % 900) as u16 * 10;
    let mut addresses = std::iter::repeat_with(|| {
        let port = first + TAKEN.fetch_add(1, Ordering::Relaxed);
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    });
    let mut free = || addresses.find(|addr| TcpListener::bind(addr).is_ok()).unwrap();
    let spec = |id| NodeSpec { id: NodeId(id), peer_addr: free(), client_addr: None };
    (1..=3).map(spec).collect()
}

fn start(node: u64, nodes: &[NodeSpec], folder: &Path) -> Engine {
    let all = [NodeId(1), NodeId(2), NodeId(3)];
    let rotated = |id: u64| (0..3).map(|k| all[(id as usize + k) % 3]).collect();
    let groups = (1..=GROUPS).map(|id| GroupSpec { id: GroupId(id), replicas: rotated(id) });
    let config = EngineConfig {
        groups: groups.collect(),
        shards: SHARDS,
        pin: false,
        segment_bytes: 1 << 20,
        ..EngineConfig::new(NodeId(node), nodes.to_vec(), folder.join(format!("node-{node}")))
    };
    Engine::builder(config).state_machine(|_| Box::<Journal>::default()).start().unwrap()
}

/// Asks the leader, wherever it is, until it answers.
fn ask(clients: &[Client], request: impl Fn(&Client) -> Outcome) -> Vec<u8> {
    let until = Instant::now() + Duration::from_secs(20);
    let mut place = 0;
    loop {
        match request(&clients[place % clients.len()]) {
            Ok(reply) => return reply.to_vec(),
            Err(RequestError::Uncertain { id }) => panic!("the fate of {id} is unknown"),
            Err(RequestError::NotLeader { leader }) => place = leader.0 as usize - 1,
            Err(_) => place += 1,
        }
        assert!(Instant::now() < until, "no leader answers");
    }
}

#[test]
fn three_nodes_agree_and_come_back() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let nodes = nodes();
    let engines: Vec<Engine> = (1..=3).map(|n| start(n, &nodes, folder.path())).collect();
    let clients: Vec<Client> = engines.iter().map(Engine::client).collect();
    for round in 0..50u8 {
        for group in 1..=GROUPS {
            let reply = ask(&clients, |c| c.write(GroupId(group), vec![round]).wait());
            assert_eq!(reply, (u64::from(round) + 1).to_be_bytes());
        }
    }
    // Any node answers the same, in the order of the writes, whoever leads.
    let expected: Vec<u8> = (0..50).collect();
    for group in 1..=GROUPS {
        assert_eq!(ask(&clients, |c| c.read(GroupId(group), vec![]).wait()), expected);
    }
    for engine in engines {
        engine.shutdown();
    }
    let engines: Vec<Engine> = (1..=3).map(|n| start(n, &nodes, folder.path())).collect();
    let clients: Vec<Client> = engines.iter().map(Engine::client).collect();
    for group in 1..=GROUPS {
        assert_eq!(ask(&clients, |c| c.read(GroupId(group), vec![]).wait()), expected);
    }
}

#[test]
fn a_handle_works_without_leaving_its_shard() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = EngineConfig { shards: 2, ..EngineConfig::single(folder.path(), 4) };
    let engine =
        Engine::builder(config).state_machine(|_| Box::<Journal>::default()).start().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let accepted = engine.run_on(1, move |handle| {
        assert_eq!(handle.shard(), 1);
        let (here, then) = (handle.clone(), handle.clone());
        here.write(GroupId(1), vec![7], move |written| {
            assert!(written.is_ok());
            // Group 2 lives on the other shard: the same call, over the mesh.
            then.clone().write(GroupId(2), vec![8], move |written| {
                assert!(written.is_ok());
                then.read(GroupId(2), vec![], move |answer| sender.send(answer).unwrap());
            });
        });
    });
    assert!(accepted);
    let answer = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(answer.unwrap().as_ref(), [8]);
    engine.shutdown();
}

#[test]
fn an_idle_node_does_not_turn() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::builder(EngineConfig::single(folder.path(), 8))
        .state_machine(|_| Box::<Journal>::default())
        .start()
        .unwrap();
    let client = engine.client();
    client.write(GroupId(1), vec![1]).wait().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let view = engine.view();
    let before = view.shards()[0].turns.read();
    std::thread::sleep(Duration::from_millis(500));
    let turns = view.shards()[0].turns.read() - before;
    assert!(turns < 5, "an idle shard turned {turns} times in half a second");
}

#[test]
fn what_keeps_a_node_from_starting_is_said_in_one_sentence() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let start = |config| {
        let builder = Engine::builder(config).state_machine(|_| Box::<Journal>::default());
        builder.start().unwrap_err().to_string()
    };
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let error = start(EngineConfig::single(&file, 1));
    assert!(error.contains("cannot be used") && error.contains("choose a folder"), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut nodes = nodes();
    nodes[0].peer_addr = taken.local_addr().unwrap();
    let error = start(EngineConfig::new(NodeId(1), nodes, folder.path().join("a")));
    assert!(error.contains("already in use"), "{error}");

    let running = Engine::builder(EngineConfig::single(folder.path().join("b"), 1))
        .state_machine(|_| Box::<Journal>::default())
        .start()
        .unwrap();
    let error = start(EngineConfig::single(folder.path().join("b"), 1));
    assert!(error.contains("log of shard 0"), "{error}");
    running.shutdown();
}
