//! Short ways do what the long ones do: many proposals at once, and everything done in one call.

use std::collections::VecDeque;

use raft_core::{
    Applied, Bytes, Config, LogId, Message, NodeId, ProposeError, RaftCore, Ready, Role, Tick,
};

use crate::common::disk::Disk;
use crate::common::random::Random;
use crate::common::solo::{Solo, config};

/// A replica that goes the long ways, and its twin that goes the short ones, on one disk.
struct Twins {
    cores: [RaftCore<Disk>; 2],
    disk: Disk,
}

impl Twins {
    fn new(config: &Config) -> Self {
        let disk = Disk::new(&[1, 2, 3]);
        let cores = [(); 2].map(|()| Solo::on(config.clone(), disk.clone()).core);
        Self { cores, disk }
    }

    fn both<T: std::fmt::Debug + PartialEq>(
        &mut self,
        act: impl Fn(&mut RaftCore<Disk>) -> T,
    ) -> T {
        let [long, short] = &mut self.cores;
        let (expected, found) = (act(long), act(short));
        assert_eq!(expected, found);
        found
    }

    /// Everything is polled and done, in as many rounds as it takes. Returns the messages.
    fn turn(&mut self) -> Vec<(NodeId, Message)> {
        let mut sent = Vec::new();
        let mut outputs = [Ready::default(), Ready::default()];
        if !self.both(|core| core.has_ready()) {
            return sent;
        }
        let [long, short] = &mut self.cores;
        long.poll_ready(&mut outputs[0]);
        short.poll_ready(&mut outputs[1]);
        loop {
            assert_eq!(format!("{:?}", outputs[0]), format!("{:?}", outputs[1]));
            assert_eq!(self.cores[0].status(), self.cores[1].status());
            sent.append(&mut outputs[1].messages);
            let applied = outputs[0].committed_entries.last().map(|e| Applied(e.id.index));
            self.disk.write(&mut outputs[0]);
            if let Some(receipt) = self.disk.sync(1) {
                self.cores[0].handle_persisted(receipt);
            }
            applied.into_iter().for_each(|a| self.cores[0].handle_applied(a));
            let more = self.cores[1].handle_done(&mut outputs[1]);
            assert_eq!(self.cores[0].has_ready(), more);
            if !more {
                return sent;
            }
            self.cores[0].poll_ready(&mut outputs[0]);
        }
    }

    /// The long way one by one, the short way all at once.
    fn propose(&mut self, commands: &[Bytes]) -> usize {
        let mut ids: Vec<LogId> = Vec::new();
        let mut refused = None;
        for data in commands {
            match self.cores[0].handle_proposal(data.clone()) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    refused = Some((data.clone(), error));
                    break;
                }
            }
        }
        let mut rest = commands.iter().cloned();
        let proposals = self.cores[1].handle_proposals(&mut rest);
        assert_eq!((proposals.first, proposals.taken), (ids.first().copied(), ids.len()));
        assert_eq!(rest.len(), commands.len() - ids.len() - usize::from(refused.is_some()));
        assert_eq!(proposals.refused, refused);
        ids.len()
    }
}

#[test]
fn short_ways_lead_where_the_long_ones_do() {
    let (mut taken, mut refused, mut terms) = (0, 0, 0);
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut nodes: Vec<Twins> =
            (1..=3).map(|n| Twins::new(&settings(n, &mut random))).collect();
        let mut network: VecDeque<(NodeId, NodeId, Message)> = VecDeque::new();
        for _ in 0..400 {
            let n = random.below(3);
            match random.below(100) {
                0 => nodes[n].both(RaftCore::handle_campaign),
                1..10 => {
                    let ticks = 1 + random.below(4) as u64;
                    nodes[n].both(|core| core.handle_time(Tick(core.now().0 + ticks)));
                }
                10..40 => {
                    let size = random.below(40);
                    let commands = vec![Bytes::from(vec![7; size]); random.below(6)];
                    let took = nodes[n].propose(&commands);
                    (taken, refused) = (taken + took, refused + commands.len() - took);
                }
                _ => {
                    if let Some((from, to, message)) = network.pop_front() {
                        let to = &mut nodes[to.0 as usize - 1];
                        let _ = to.both(|core| core.handle_message(from, message.clone()));
                    }
                }
            }
            for (at, node) in nodes.iter_mut().enumerate() {
                let sent = node.turn().into_iter().filter(|_| !random.permille(30));
                network.extend(sent.map(|(to, message)| (NodeId(at as u64 + 1), to, message)));
            }
        }
        let commit = nodes.iter().map(|node| node.cores[1].commit().0).max();
        assert!(commit > Some(0), "seed {seed} has done something");
        terms += nodes[0].cores[0].term().0;
    }
    assert!(taken > 500 && refused > 500 && terms > 40, "{taken} {refused} {terms}");
}

fn settings(node: u64, random: &mut Random) -> Config {
    Config {
        id: NodeId(node),
        seed: node,
        pre_vote: random.permille(500),
        check_quorum: false,
        entry_bytes_max: 38,
        message_bytes_max: [1, 60, 1 << 20][random.below(3)],
        uncommitted_bytes_max: [40, 1 << 20][random.below(2)],
        committed_bytes_max: [1, 50, 1 << 20][random.below(3)],
        log_cache_bytes_max: [0, 400, 1 << 20][random.below(3)],
        ..config()
    }
}

#[test]
fn of_many_proposals_the_refused_and_the_rest_come_back() {
    let mut s = Solo::leader_on(Config { entry_bytes_max: 3, ..config() }, Disk::new(&[1]));
    let last = s.last();
    let commands = ["a", "bc", "long", "d"].map(Bytes::from);
    let mut commands = commands.into_iter();
    let proposals = s.core.handle_proposals(&mut commands);
    let next = LogId::new(last.term, last.index.next());
    assert_eq!((proposals.first, proposals.taken), (Some(next), 2));
    assert_eq!(proposals.refused, Some(("long".into(), ProposeError::TooLarge)));
    assert_eq!(commands.collect::<Vec<_>>(), ["d"], "nobody looked at what is behind it");
    s.turn();
    assert_eq!(s.applied.iter().map(|e| &e.data[..]).collect::<Vec<_>>(), [&b""[..], b"a", b"bc"]);
    let nothing = s.core.handle_proposals([]);
    assert_eq!((nothing.first, nothing.taken, nothing.refused), (None, 0, None));
    let mut follower = Solo::new(&[1, 2, 3]);
    let refused = follower.core.handle_proposals([Bytes::from_static(b"x")]);
    let error = ProposeError::NotLeader { leader: None };
    assert_eq!((refused.first, refused.refused), (None, Some(("x".into(), error))));
}

/// Who has given the receipt away says by `handle_done` only that the entries are applied.
#[test]
fn what_is_not_durable_is_not_done() {
    let mut core = RaftCore::new(config(), Disk::new(&[1])).unwrap();
    let mut ready = Ready::default();
    core.handle_campaign();
    core.poll_ready(&mut ready);
    let receipt = ready.receipt.take().unwrap();
    assert!(!core.handle_done(&mut ready));
    assert_eq!(core.role(), Role::Candidate, "its vote is not durable");
    ready.receipt = Some(receipt);
    assert!(core.handle_done(&mut ready));
    assert_eq!((core.role(), ready.entries_to_persist.len()), (Role::Leader, 1));
    assert!(core.handle_done(&mut ready), "the opening entry is committed");
    assert_eq!(ready.committed_entries.len(), 1);
    assert!(!core.handle_done(&mut ready));
    assert_eq!(core.status().applied, core.commit());
}
