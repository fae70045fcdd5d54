//! What the commands are and how things are written down.

/// The whole manual.
pub(crate) const HELP: &str = r#"
COMMANDS
A line is a command; # begins a comment. N, A and B are nodes; nodes get the ids 1, 2, 3, ..
Expected outputs in a script (a command, ----, the output, an empty line) are passed over.

add-nodes COUNT [voters=(1,2,3)] [learners=(4)] [index=I] [term=T] [content=..] [options]
    New nodes that know these members. With index=I the group has a past: everything up to T/I (T is
    1 if not said) is applied and its log is compacted away. Without voters the nodes are empty and
    learn from a leader whom they belong to. What a snapshot contains is of no concern here.
    Options, in ticks, bytes or messages, each with its default:
      election-tick=3 heartbeat-tick=1 snapshot-timeout=30 seed=0
      pre-vote=false check-quorum=false async-storage-writes=false
      read-only=safe (or lease-based, which is lease=election-tick - 1) lease=0
      max-inflight=64 max-inflight-bytes=4194304 max-size-per-msg=262144 max-uncommitted=4194304
      max-committed-size-per-ready=4194304 max-entry-size=4194304 log-cache=1048576
campaign N                      the node starts an election, if it may
propose N DATA                  proposes a command; DATA is the rest of the line, quoted or not
propose-conf-change N [v1=true] [transition=auto|implicit|explicit] [STEPS]
    Changes the members: v3 makes 3 a voter, l4 makes 4 a learner, r2 removes 2, u5 changes nothing.
    No steps, or the word leave, leave the joint configuration. STEPS may follow on a line of their
    own. v1=true allows one step. auto goes through a joint configuration only if it must.
transfer-leadership from=A to=B hands leadership over
read-index N R                  asks for a linearizable read, named by the number R
tick N [COUNT]                  time passes on a node, tick by tick
tick-election N                 an election timeout, tick-heartbeat N a heartbeat interval
set-randomized-election-timeout N timeout=T
    The next campaign is T ticks from now, and T ticks after whatever resets the timer later.
    T=0 goes back to random timeouts. Leases may defer a campaign further.
process-ready N..               takes the outputs: sends what may leave, persists, applies, and goes
                                on until there are none; with async-storage-writes takes them once,
                                sends, and leaves the rest to the next two commands
process-append N.. [all]        the oldest batch (all) is durable and its receipt goes back
process-apply N.. [all]         the oldest entries handed out (all) are applied
deliver-msgs N.. [drop=(A,B)] [type=KIND] [from=(A)] [count=C] [keep=true]
    Messages to these nodes arrive, messages to those dropped are lost: all, or only of this kind,
    of these senders, the oldest C. With keep=true they stay on their way and will arrive again.
partition N..                   messages between these nodes and the others are lost; heal ends it
messages                        what is on its way
stabilize [N..] [log-level=..]  outputs, messages, disks and state machines of these nodes (of all)
                                go on until nothing is left to do; no time passes
compact N I                     drops the log up to I, which must be applied
send-snapshot A B               the leader A sends its state machine to B, unasked
report-snapshot A B [status=failed|moving]
                                the host of A says how the snapshot for B is doing
report-unreachable A B          the host of A says that messages to B are probably lost
restart N [writes=K] [torn=true]
    The process dies and comes back with what is durable, and with the oldest K batches that were on
    their way; torn: and with the snapshot of the batch after them, but not the rest of it.
raft-state                      a line per node
raft-log N                      the durable log, and batches on their way
status N                        one node, and what a leader knows about the others
log-level debug|info|warn|error|none
    debug and info print everything, warn and error no changes of state and no events, none nothing
    but refusals, faults and broken laws.
help                            this text
Not here: forget-leader; disable-conf-change-validation=true; step-down-on-removal=false.

NOTATION
7/42                            the entry of term 7 at index 42; 0/0 is before the first
7/42 "x"                        a command; 7/42 no-op opens a term; 7/42 voters=.. a configuration
voters=(1,2)&&(1,2,3) learners=(4) learners-next=(3) auto-leave
    A configuration; && separates the new and the old voters of a joint one.
1->2 KIND term=T ..             a message from 1 to 2:
    PreVote last=ID                         RequestVote last=ID [transfer]
    PreVoteReply asked=T granted|refused    RequestVoteReply granted|refused
    AppendEntries prev=ID commit=I [ENTRIES]
    AppendEntriesReply accepted matched=I | rejected prev=I hint=ID last=I | stale
    Heartbeat commit=I round=R              HeartbeatReply round=R
    InstallSnapshot last=ID CONFIGURATION   TimeoutNow
    type= also takes the names of etcd/raft, such as MsgApp.
lost: 1->2 ..                   sent and lost at a partition; dropped: 1->2 .. lost by deliver-msgs
refused by 2: ..                a message that the core refused
state: ROLE term=T leader=N     role, term or leader changed
event: established term=T       the leader has committed an entry of its own term
event: lost ID                  another entry was committed in the place of this proposal
event: uncertain ID             a snapshot covers this proposal: its fate is unknown
event: configuration I ..       the configuration of entry I is in force
event: transfer to N aborted    leadership was not taken over in time
fault: ..                       the replica stopped for good
persist #S: ..                  batch S: term, vote, commit; a snapshot; entries
durable #S: ..                  batch S is durable
apply: [..] applied: [..]       committed entries are handed out; are applied
read R: ready at I              the read is answered when I is applied, which it is; read R: lost
> 2 ready|receives|persists|applies
                                what follows happens at node 2
refused: ..                     the command was refused
LAW BROKEN: ..                  an error in the core: a law of Raft, or one of its own assertions
ok                              nothing was printed
"#;
