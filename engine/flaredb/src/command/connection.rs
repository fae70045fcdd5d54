//! Commands about the connection itself.

use super::{Action, Call, Executed, Refusal, Sub, dispatch};
use crate::info::REDIS_VERSION;
use crate::kv::number::parse_i64;
use crate::resp::Version;
use crate::server::ClientEntry;

pub(super) fn ok(call: &mut Call<'_>) -> Executed {
    call.status("OK")
}

pub(super) fn ping(call: &mut Call<'_>) -> Executed {
    match call.args.len() {
        1 => call.status("PONG"),
        2 => echo(call),
        _ => Err(Refusal::arity("ping")),
    }
}

pub(super) fn echo(call: &mut Call<'_>) -> Executed {
    let word = call.args.at(1);
    call.writer().bulk(word);
    Ok(Action::Replied)
}

pub(super) fn quit(call: &mut Call<'_>) -> Executed {
    call.writer().status("OK");
    Ok(Action::Close)
}

pub(super) fn reset(call: &mut Call<'_>) -> Executed {
    call.session.reset();
    call.status("RESET")
}

pub(super) fn select(call: &mut Call<'_>) -> Executed {
    let number = call.integer(1)?;
    i32::try_from(number).map_err(|_| Refusal::NOT_AN_INT)?;
    if number != 0 {
        return Err(Refusal::SELECT);
    }
    call.status("OK")
}

pub(super) fn auth(call: &mut Call<'_>) -> Executed {
    let (user, password) = match call.args.len() {
        2 if call.server().settings().password.is_none() => return Err(Refusal::NO_PASSWORD_SET),
        2 => (&b"default"[..], call.args.at(1)),
        3 => (call.args.at(1), call.args.at(2)),
        _ => return Err(Refusal::SYNTAX),
    };
    if !call.session.authenticate(user, password) {
        return Err(Refusal::WRONG_PASS);
    }
    call.status("OK")
}

pub(super) fn hello(call: &mut Call<'_>) -> Executed {
    let mut version = None;
    if call.args.len() > 1 {
        version = match parse_i64(call.args.at(1)) {
            Some(2) => Some(Version::Two),
            Some(3) => Some(Version::Three),
            Some(_) => return Err(Refusal::NO_PROTO),
            None => return Err(Refusal::BAD_PROTO),
        };
    }
    let mut credentials = None;
    let mut name = None;
    let mut number = 2;
    while number < call.args.len() {
        let left = call.args.len() - number - 1;
        if call.is(number, "auth") && left >= 2 {
            credentials = Some((call.args.at(number + 1), call.args.at(number + 2)));
            number += 3;
        } else if call.is(number, "setname") && left >= 1 {
            name = Some(checked_name(call.args.at(number + 1))?);
            number += 2;
        } else {
            return Err(Refusal::hello_option(call.args.at(number)));
        }
    }
    if let Some((user, password)) = credentials {
        if !call.session.authenticate(user, password) {
            return Err(Refusal::WRONG_PASS);
        }
    }
    if !call.session.authenticated {
        return Err(Refusal::HELLO_NO_AUTH);
    }
    if let Some(name) = name {
        rename(call, name);
    }
    if let Some(version) = version {
        call.session.speak(version);
    }
    greet(call);
    Ok(Action::Replied)
}

fn greet(call: &mut Call<'_>) {
    let id = call.session.id as i64;
    let version = call.session.version;
    let mut writer = call.writer();
    writer.map(7);
    for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        writer.bulk(key.as_bytes());
        writer.bulk(value.as_bytes());
    }
    writer.bulk(b"proto");
    writer.integer(version.number());
    writer.bulk(b"id");
    writer.integer(id);
    for (key, value) in [("mode", "cluster"), ("role", "master")] {
        writer.bulk(key.as_bytes());
        writer.bulk(value.as_bytes());
    }
    writer.bulk(b"modules");
    writer.array(0);
}

/// A name without spaces, line breaks and other characters that would garble the list of clients.
fn checked_name(name: &[u8]) -> Result<&[u8], Refusal> {
    let plain = name.iter().all(|b| (b'!'..=b'~').contains(b));
    if plain { Ok(name) } else { Err(Refusal::BAD_CLIENT_NAME) }
}

fn rename(call: &mut Call<'_>, name: &[u8]) {
    call.session.name = name.to_vec();
    let text = String::from_utf8_lossy(name).into_owned();
    call.session.note(|entry| entry.name = text);
}

static CLIENT: [Sub; 9] = [
    Sub { name: "id", arity: 2, run: client_id },
    Sub { name: "setname", arity: 3, run: client_setname },
    Sub { name: "getname", arity: 2, run: client_getname },
    Sub { name: "setinfo", arity: 4, run: client_setinfo },
    Sub { name: "list", arity: -2, run: client_list },
    Sub { name: "info", arity: 2, run: client_info },
    Sub { name: "no-evict", arity: 3, run: on_or_off },
    Sub { name: "no-touch", arity: 3, run: on_or_off },
    Sub { name: "help", arity: 2, run: client_help },
];

pub(super) fn client(call: &mut Call<'_>) -> Executed {
    dispatch(call, &CLIENT)
}

fn client_id(call: &mut Call<'_>) -> Executed {
    let id = call.session.id as i64;
    call.reply_integer(id)
}

fn client_setname(call: &mut Call<'_>) -> Executed {
    let name = checked_name(call.args.at(2))?;
    rename(call, name);
    call.status("OK")
}

fn client_getname(call: &mut Call<'_>) -> Executed {
    let name = call.session.name.clone();
    call.writer().bulk_or_nil((!name.is_empty()).then_some(&name[..]));
    Ok(Action::Replied)
}

fn client_setinfo(call: &mut Call<'_>) -> Executed {
    let value = checked_name(call.args.at(3))?;
    let text = String::from_utf8_lossy(value).into_owned();
    if call.is(2, "lib-name") {
        call.session.note(|entry| entry.lib_name = text);
    } else if call.is(2, "lib-ver") {
        call.session.note(|entry| entry.lib_ver = text);
    } else {
        return Err(Refusal::unrecognised_client_option(call.args.at(2)));
    }
    call.status("OK")
}

fn line(id: u64, entry: &ClientEntry) -> String {
    let ClientEntry { addr, name, lib_name, lib_ver, resp, since } = entry;
    let age = since.elapsed().as_secs();
    format!(
        "id={id} addr={addr} name={name} age={age} flags=N db=0 user=default \
         lib-name={lib_name} lib-ver={lib_ver} resp={resp}\n"
    )
}

fn client_list(call: &mut Call<'_>) -> Executed {
    let mut only: Option<Vec<u64>> = None;
    if call.args.len() == 4 && call.is(2, "type") {
        if !call.is(3, "normal") {
            only = Some(Vec::new());
        }
    } else if call.args.len() >= 4 && call.is(2, "id") {
        let ids = call.args.from(3).map(|word| parse_i64(word).and_then(|n| u64::try_from(n).ok()));
        only = Some(ids.collect::<Option<_>>().ok_or(Refusal::BAD_CLIENT_ID)?);
    } else if call.args.len() > 2 {
        return Err(Refusal::SYNTAX);
    }
    let text: String = {
        let clients = call.server().clients();
        let wanted = |id: &u64| only.as_ref().is_none_or(|ids| ids.contains(id));
        clients.iter().filter(|(id, _)| wanted(id)).map(|(id, entry)| line(*id, entry)).collect()
    };
    call.writer().verbatim(&text);
    Ok(Action::Replied)
}

fn client_info(call: &mut Call<'_>) -> Executed {
    let id = call.session.id;
    let text = call.server().clients().get(&id).map(|entry| line(id, entry)).unwrap_or_default();
    call.writer().verbatim(&text);
    Ok(Action::Replied)
}

fn on_or_off(call: &mut Call<'_>) -> Executed {
    if !call.is(2, "on") && !call.is(2, "off") {
        return Err(Refusal::SYNTAX);
    }
    call.status("OK")
}

fn client_help(call: &mut Call<'_>) -> Executed {
    let mut writer = call.writer();
    writer.array(CLIENT.len() + 1);
    writer.status("CLIENT <subcommand> [<arg> ...]. Subcommands are:");
    for sub in &CLIENT {
        writer.status(&sub.name.to_ascii_uppercase());
    }
    Ok(Action::Replied)
}
