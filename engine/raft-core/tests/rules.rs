//! The rules that implementations get wrong, one by one.

#[path = "rules/boot.rs"]
mod boot;
mod common;
#[path = "rules/doors.rs"]
mod doors;
#[path = "rules/durability.rs"]
mod durability;
#[path = "rules/flow.rs"]
mod flow;
#[path = "rules/handover.rs"]
mod handover;
#[path = "rules/hostile.rs"]
mod hostile;
#[path = "rules/pending.rs"]
mod pending;
#[path = "../fuzz/play/mod.rs"]
mod play;
#[path = "rules/silence.rs"]
mod silence;
#[path = "rules/storage.rs"]
mod storage;
