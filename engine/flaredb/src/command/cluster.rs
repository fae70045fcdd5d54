//! CLUSTER: who owns which slots. SLOTS, SHARDS and NODES tell the same story: only leaders own
//! slots, and nobody is called a replica, because every node leads some groups and follows in
//! others.

use std::fmt::Write as _;

use engine::Op;

use super::{Action, Call, Executed, Refusal, Sub, dispatch};
use crate::kv::Query;
use crate::resp::Writer;
use crate::slots::{SLOTS, slot_of};
use crate::topology::{
    Health, Owned, client_addr, elsewhere, node_name, owners, part_name, serving,
};

/// The gap between a client port and the bus port that Redis would have.
const BUS_PORT_GAP: u16 = 10_000;

static CLUSTER: [Sub; 8] = [
    Sub { name: "slots", arity: 2, run: slots },
    Sub { name: "shards", arity: 2, run: shards },
    Sub { name: "nodes", arity: 2, run: nodes },
    Sub { name: "info", arity: 2, run: info },
    Sub { name: "keyslot", arity: 3, run: keyslot },
    Sub { name: "myid", arity: 2, run: myid },
    Sub { name: "myshardid", arity: 2, run: myshardid },
    Sub { name: "countkeysinslot", arity: 3, run: countkeysinslot },
];

pub(super) fn cluster(call: &mut Call<'_>) -> Executed {
    dispatch(call, &CLUSTER)
}

fn known_owners(call: &Call<'_>) -> Vec<Owned> {
    owners(call.view, call.server().slots())
}

fn slots(call: &mut Call<'_>) -> Executed {
    let (view, owners) = (call.view, known_owners(call));
    let mut writer = call.writer();
    writer.array(owners.len());
    for owned in owners {
        let Some(addr) = client_addr(view, owned.node) else {
            continue;
        };
        writer.array(3);
        writer.integer(i64::from(owned.first));
        writer.integer(i64::from(owned.last));
        writer.array(4);
        writer.bulk(addr.ip().to_string().as_bytes());
        writer.integer(i64::from(addr.port()));
        writer.bulk(node_name(view, owned.node).as_bytes());
        writer.array(0);
    }
    Ok(Action::Replied)
}

fn field(writer: &mut Writer<'_>, key: &str, value: &str) {
    writer.bulk(key.as_bytes());
    writer.bulk(value.as_bytes());
}

fn shards(call: &mut Call<'_>) -> Executed {
    let (view, owners) = (call.view, known_owners(call));
    let mut writer = call.writer();
    writer.array(serving(view).count());
    for node in serving(view) {
        let Some(addr) = node.client_addr else {
            continue;
        };
        let owned = owners.iter().filter(|owned| owned.node == node.id);
        writer.map(2);
        writer.bulk(b"slots");
        writer.array(owned.clone().count() * 2);
        for owned in owned {
            writer.integer(i64::from(owned.first));
            writer.integer(i64::from(owned.last));
        }
        writer.bulk(b"nodes");
        writer.array(1);
        writer.map(7);
        field(&mut writer, "id", &node_name(view, node.id));
        writer.bulk(b"port");
        writer.integer(i64::from(addr.port()));
        field(&mut writer, "ip", &addr.ip().to_string());
        field(&mut writer, "endpoint", &addr.ip().to_string());
        field(&mut writer, "role", "master");
        writer.bulk(b"replication-offset");
        writer.integer(0);
        let health = if view.is_connected(node.id) { "online" } else { "failed" };
        field(&mut writer, "health", health);
    }
    Ok(Action::Replied)
}

fn nodes(call: &mut Call<'_>) -> Executed {
    let (view, owners) = (call.view, known_owners(call));
    let mut text = String::new();
    for node in serving(view) {
        let Some(addr) = node.client_addr else {
            continue;
        };
        let up = view.is_connected(node.id);
        let (port, bus) = (addr.port(), addr.port().saturating_add(BUS_PORT_GAP));
        let flags = match (node.id == view.node(), up) {
            (true, _) => "myself,master",
            (false, true) => "master",
            (false, false) => "master,fail?",
        };
        let link = if up { "connected" } else { "disconnected" };
        let name = node_name(view, node.id);
        // Writing to a string cannot fail.
        let _ = write!(text, "{name} {}:{port}@{bus} {flags} - 0 0 {} {link}", addr.ip(), node.id);
        for owned in owners.iter().filter(|owned| owned.node == node.id) {
            let _ = match owned.first == owned.last {
                true => write!(text, " {}", owned.first),
                false => write!(text, " {}-{}", owned.first, owned.last),
            };
        }
        text.push('\n');
    }
    call.writer().verbatim(&text);
    Ok(Action::Replied)
}

fn info(call: &mut Call<'_>) -> Executed {
    let health = Health::of(call.view, call.server().slots());
    let state = if health.is_ok() { "ok" } else { "fail" };
    let text = [
        format!("cluster_state:{state}"),
        format!("cluster_slots_assigned:{}", health.assigned),
        format!("cluster_slots_ok:{}", health.reachable),
        format!("cluster_slots_pfail:{}", health.assigned - health.reachable),
        format!("cluster_slots_fail:{}", SLOTS - health.assigned),
        format!("cluster_known_nodes:{}", serving(call.view).count()),
        format!("cluster_size:{}", health.leaders),
        "cluster_current_epoch:1".to_owned(),
        "cluster_my_epoch:1".to_owned(),
    ];
    let text = text.join("\r\n") + "\r\n";
    call.writer().verbatim(&text);
    Ok(Action::Replied)
}

fn keyslot(call: &mut Call<'_>) -> Executed {
    let slot = slot_of(call.args.at(2));
    call.reply_integer(i64::from(slot))
}

fn myid(call: &mut Call<'_>) -> Executed {
    let name = node_name(call.view, call.view.node());
    call.writer().bulk(name.as_bytes());
    Ok(Action::Replied)
}

fn myshardid(call: &mut Call<'_>) -> Executed {
    let name = part_name(call.view, call.view.node());
    call.writer().bulk(name.as_bytes());
    Ok(Action::Replied)
}

fn countkeysinslot(call: &mut Call<'_>) -> Executed {
    let given = call.integer(2)?;
    let slot = u16::try_from(given).ok().filter(|slot| *slot < SLOTS);
    let slot = slot.ok_or(Refusal::BAD_COUNT_SLOT)?;
    let group = call.server().slots().group_of(slot);
    if elsewhere(call.view, group).is_some() {
        return call.reply_integer(0);
    }
    Ok(Action::Slot(slot, Op::Read(Query::SlotSize(slot).encode(call.now))))
}
