//! Commands about the server.

use super::{Action, Call, Executed, Refusal};
use crate::info;

pub(super) fn info(call: &mut Call<'_>) -> Executed {
    let sections: Vec<Vec<u8>> = call.args.from(1).map(<[u8]>::to_ascii_lowercase).collect();
    let text = info::text(call.server(), call.view, &sections);
    call.writer().verbatim(&text);
    Ok(Action::Replied)
}

pub(super) fn time(call: &mut Call<'_>) -> Executed {
    let (seconds, micros) = (call.now / 1000, call.now % 1000 * 1000);
    let mut writer = call.writer();
    writer.array(2);
    writer.bulk(seconds.to_string().as_bytes());
    writer.bulk(micros.to_string().as_bytes());
    Ok(Action::Replied)
}

/// A write is answered when a majority has it, so all that was answered is on so many other nodes:
/// no need to wait.
pub(super) fn wait(call: &mut Call<'_>) -> Executed {
    call.integer(1)?;
    if call.integer(2)? < 0 {
        return Err(Refusal::TIMEOUT);
    }
    let replicas = call.server().settings().replicas.max(1);
    call.reply_integer((replicas / 2) as i64)
}
