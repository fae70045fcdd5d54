//! CONFIG: what of Redis's settings has a meaning here, to be read only. Settings are changed in
//! the configuration file.

use super::{Action, Call, Executed, Refusal, Sub, dispatch};
use crate::kv::glob::matches;

static CONFIG: [Sub; 2] =
    [Sub { name: "get", arity: -3, run: get }, Sub { name: "set", arity: -4, run: set }];

pub(super) fn config(call: &mut Call<'_>) -> Executed {
    dispatch(call, &CONFIG)
}

/// Every setting and its value. A password is not shown to anyone.
fn settings(call: &Call<'_>) -> Vec<(&'static str, String)> {
    let settings = call.server().settings();
    let client = call.view.node_spec(call.view.node()).and_then(|node| node.client_addr);
    let protected = if settings.password.is_some() { "no" } else { "yes" };
    vec![
        ("appendfsync", "always".into()),
        ("appendonly", "yes".into()),
        ("bind", client.map(|addr| addr.ip().to_string()).unwrap_or_default()),
        ("cluster-enabled", "yes".into()),
        ("databases", "1".into()),
        ("maxmemory", "0".into()),
        ("maxmemory-policy", "noeviction".into()),
        ("port", client.map_or(0, |addr| addr.port()).to_string()),
        ("proto-max-bulk-len", settings.value_bytes_max.to_string()),
        ("protected-mode", protected.into()),
        ("save", String::new()),
        ("timeout", "0".into()),
    ]
}

fn get(call: &mut Call<'_>) -> Executed {
    let args = call.args;
    let wanted = |name: &str| {
        args.from(2).any(|pattern| matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found: Vec<_> = settings(call).into_iter().filter(|(name, _)| wanted(name)).collect();
    let mut writer = call.writer();
    writer.map(found.len());
    for (name, value) in found {
        writer.bulk(name.as_bytes());
        writer.bulk(value.as_bytes());
    }
    Ok(Action::Replied)
}

fn set(call: &mut Call<'_>) -> Executed {
    let name = call.args.at(2);
    let known = settings(call).iter().any(|(n, _)| name.eq_ignore_ascii_case(n.as_bytes()));
    if known && call.args.len() % 2 == 0 {
        return Err(Refusal::fixed_setting(name));
    }
    Err(Refusal::unknown_setting(name))
}
