//! COMMAND: the table of commands, for clients that read it.

use super::table::{FLAG_NAMES, SPECS, Spec, Topic, find};
use super::{Action, Call, Executed, Refusal, Sub, dispatch};
use crate::kv::glob::matches;
use crate::resp::Writer;

static COMMAND: [Sub; 5] = [
    Sub { name: "count", arity: 2, run: count },
    Sub { name: "list", arity: -2, run: list },
    Sub { name: "info", arity: -2, run: info },
    Sub { name: "docs", arity: -2, run: docs },
    Sub { name: "getkeys", arity: -4, run: getkeys },
];

pub(super) fn command(call: &mut Call<'_>) -> Executed {
    if call.args.len() > 1 {
        return dispatch(call, &COMMAND);
    }
    let mut writer = call.writer();
    writer.array(SPECS.len());
    SPECS.iter().for_each(|spec| describe(spec, &mut writer));
    Ok(Action::Replied)
}

fn count(call: &mut Call<'_>) -> Executed {
    call.reply_integer(SPECS.len() as i64)
}

fn list(call: &mut Call<'_>) -> Executed {
    let mut names: Vec<&str> = SPECS.iter().map(|spec| spec.name).collect();
    if call.args.len() == 5 && call.is(2, "filterby") {
        let wanted = call.args.at(4);
        let category = format!("@{}", String::from_utf8_lossy(wanted).to_ascii_lowercase());
        let keep = |spec: &Spec| {
            if call.is(3, "pattern") {
                matches(&wanted.to_ascii_lowercase(), spec.name.as_bytes())
            } else {
                call.is(3, "aclcat") && spec.categories().any(|name| name == category)
            }
        };
        let known = ["pattern", "aclcat", "module"].iter().any(|word| call.is(3, word));
        if !known {
            return Err(Refusal::SYNTAX);
        }
        names = SPECS.iter().filter(|spec| keep(spec)).map(|spec| spec.name).collect();
    } else if call.args.len() > 2 {
        return Err(Refusal::SYNTAX);
    }
    let mut writer = call.writer();
    writer.array(names.len());
    names.iter().for_each(|name| writer.bulk(name.as_bytes()));
    Ok(Action::Replied)
}

fn info(call: &mut Call<'_>) -> Executed {
    let args = call.args;
    let mut writer = call.writer();
    if args.len() == 2 {
        writer.array(SPECS.len());
        SPECS.iter().for_each(|spec| describe(spec, &mut writer));
        return Ok(Action::Replied);
    }
    writer.array(args.len() - 2);
    for name in args.from(2) {
        match find(name) {
            Some(spec) => describe(spec, &mut writer),
            None => writer.nil_array(),
        }
    }
    Ok(Action::Replied)
}

fn docs(call: &mut Call<'_>) -> Executed {
    let args = call.args;
    let specs: Vec<&Spec> = if args.len() == 2 {
        SPECS.iter().collect()
    } else {
        args.from(2).filter_map(find).collect()
    };
    let mut writer = call.writer();
    writer.map(specs.len());
    for spec in specs {
        writer.bulk(spec.name.as_bytes());
        writer.map(3);
        let group = match spec.topic {
            Topic::String => "string",
            Topic::Generic => "generic",
            Topic::Connection => "connection",
            Topic::Server => "server",
            Topic::Cluster => "cluster",
        };
        for (key, value) in [("summary", spec.summary), ("since", "1.0.0"), ("group", group)] {
            writer.bulk(key.as_bytes());
            writer.bulk(value.as_bytes());
        }
    }
    Ok(Action::Replied)
}

fn getkeys(call: &mut Call<'_>) -> Executed {
    let args = call.args;
    let Some(spec) = find(args.at(2)) else {
        return Err(Refusal::BAD_COMMAND);
    };
    if spec.first_key == 0 {
        return Err(Refusal::NO_KEYS);
    }
    let words = args.len() - 2;
    let range = spec.key_range(words).filter(|_| spec.allows(words));
    let Some((first, last)) = range else {
        return Err(Refusal::BAD_KEYS);
    };
    let keys: Vec<&[u8]> =
        (first..=last).step_by(spec.key_step).map(|place| args.at(place + 2)).collect();
    let mut writer = call.writer();
    writer.array(keys.len());
    keys.iter().for_each(|key| writer.bulk(key));
    Ok(Action::Replied)
}

/// The ten fields that Redis 7 tells of a command.
fn describe(spec: &Spec, writer: &mut Writer<'_>) {
    writer.array(10);
    writer.bulk(spec.name.as_bytes());
    writer.integer(i64::from(spec.arity));
    let flags = FLAG_NAMES.iter().filter(|(flag, _)| spec.flags & flag != 0);
    writer.set(flags.clone().count());
    flags.for_each(|(_, name)| writer.status(name));
    writer.integer(spec.first_key as i64);
    writer.integer(spec.last_key as i64);
    writer.integer(spec.key_step as i64);
    writer.set(spec.categories().count());
    spec.categories().for_each(|name| writer.status(name));
    // Hints, key specifications and subcommands: none, which says that the fields above tell it
    // all.
    writer.set(0);
    writer.set(0);
    writer.array(0);
}
