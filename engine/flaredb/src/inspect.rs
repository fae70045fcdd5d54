//! `flaredb inspect wal`: what the log of a core holds, whether it is whole, and taking away what
//! is not.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use engine::GroupId;
use wal::inspect::{Files, Follow, InspectError, TailBatch, stat, tail, verify};

mod export;
mod json;
mod quarantine;
mod tables;

const EXAMPLES: &str = "\
DIR is the log folder of one core, for instance flaredb-data/core-000/wal.

Examples:
  flaredb inspect wal verify DIR
  flaredb inspect wal stat DIR --json
  flaredb inspect wal dump DIR --group 7 --from 100 --to 120
  flaredb inspect wal tail DIR -n 20 --live
  flaredb inspect wal export DIR --group 7 > group-7.jsonl
  flaredb inspect wal quarantine DIR

Exit codes: 0 all is well, 1 the log is damaged, 2 it could not be looked at or nothing was done.";

/// How often to look for what was added to a log.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct InspectOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The write-ahead log of a core
    #[command(after_help = EXAMPLES)]
    Wal(WalOptions),
}

#[derive(Debug, Args)]
struct WalOptions {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the records: where each lies, whose it is, how long it is
    #[command(after_help = "Examples:
  flaredb inspect wal dump flaredb-data/core-000/wal
  flaredb inspect wal dump flaredb-data/core-000/wal --group 7 --from 100 --to 120")]
    Dump(DumpOptions),
    /// Verify every byte, as a starting node would, and write nothing
    #[command(after_help = "\
A torn tail is what a crash leaves of writes that were never acknowledged: exit code 0, the next
start leaves it out. Damage of anything later data proves to have been durable: exit code 1. What
cannot be told apart: damage of the very last batches before a crash, in the 10 ms before the log
proves them, looks like a torn tail.

Examples:
  flaredb inspect wal verify flaredb-data/core-000/wal
  flaredb inspect wal verify flaredb-data/core-000/wal --json | jq .verdict")]
    Verify(VerifyOptions),
    /// Count segments, batches, records and groups
    #[command(after_help = "Examples:
  flaredb inspect wal stat flaredb-data/core-000/wal
  flaredb inspect wal stat flaredb-data/core-000/wal --live --json")]
    Stat(StatOptions),
    /// Show the last batches
    #[command(after_help = "Examples:
  flaredb inspect wal tail flaredb-data/core-000/wal
  flaredb inspect wal tail flaredb-data/core-000/wal -n 50 --live
  flaredb inspect wal tail flaredb-data/core-000/wal --live --follow")]
    Tail(TailOptions),
    /// Write state and entries of a group as lines of JSON; the log must be whole
    #[command(after_help = "\
The first line is the state of the group, each other line an entry, its data in hexadecimal digits.

Examples:
  flaredb inspect wal export flaredb-data/core-000/wal --group 7 > group-7.jsonl")]
    Export(ExportOptions),
    /// Move what is damaged, and all that follows it, to the folder quarantine/
    #[command(after_help = "\
Without --yes it only says what would go and what that means for the node. Nothing is deleted or
overwritten.

Examples:
  flaredb inspect wal quarantine flaredb-data/core-000/wal
  flaredb inspect wal quarantine flaredb-data/core-000/wal --yes")]
    Quarantine(QuarantineOptions),
}

#[derive(Debug, Args)]
struct Look {
    /// The log folder of a core
    dir: PathBuf,
    /// Read a log that is in use; what is being written then looks damaged
    #[arg(long)]
    live: bool,
}

#[derive(Debug, Args)]
struct DumpOptions {
    #[command(flatten)]
    look: Look,
    /// Only this group
    #[arg(long)]
    group: Option<u64>,
    /// Only entries from this index on
    #[arg(long)]
    from: Option<u64>,
    /// Only entries up to this index
    #[arg(long)]
    to: Option<u64>,
}

#[derive(Debug, Args)]
struct VerifyOptions {
    /// The log folder of a core
    dir: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StatOptions {
    #[command(flatten)]
    look: Look,
    /// Answer in JSON, with all groups
    #[arg(long)]
    json: bool,
    /// How many groups to list, the largest first
    #[arg(long, default_value_t = 20)]
    groups: usize,
}

#[derive(Debug, Args)]
struct TailOptions {
    #[command(flatten)]
    look: Look,
    /// How many batches
    #[arg(short = 'n', long, default_value_t = 10)]
    batches: usize,
    /// Go on with what is added, until interrupted
    #[arg(short = 'f', long, requires = "live")]
    follow: bool,
}

#[derive(Debug, Args)]
struct ExportOptions {
    /// The log folder of a core
    dir: PathBuf,
    /// The group
    #[arg(long)]
    group: u64,
}

#[derive(Debug, Args)]
struct QuarantineOptions {
    /// The log folder of a core
    dir: PathBuf,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// Why an inspection gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("the answer cannot be written: {0}; look at where standard output goes")]
    Output(#[from] io::Error),
}

type Output = BufWriter<StdoutLock<'static>>;

/// Answers; the exit code says whether the log is whole.
pub(crate) fn run(options: &InspectOptions) -> Result<ExitCode, Failure> {
    let What::Wal(options) = &options.what;
    let mut out = BufWriter::new(io::stdout().lock());
    let answered = answer(&options.verb, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match answered {
        // Whoever reads has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        other => other,
    }
}

fn answer(verb: &Verb, out: &mut Output) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Dump(options) => {
            let filter = tables::Filter {
                group: options.group.map(GroupId),
                from: options.from,
                to: options.to,
            };
            tables::dump(&mut open(&options.look)?, &filter, out)?;
        }
        Verb::Verify(options) => {
            let report = verify(&mut Files::open(&options.dir)?)?;
            if options.json {
                writeln!(out, "{}", json::report(&report))?;
            } else {
                tables::report(&report, out)?;
            }
            let damaged = matches!(report.verdict, wal::inspect::Verdict::Damaged(_));
            return Ok(ExitCode::from(u8::from(damaged)));
        }
        Verb::Stat(options) => {
            let stat = stat(&mut open(&options.look)?)?;
            if options.json {
                writeln!(out, "{}", json::stat(&stat))?;
            } else {
                tables::stat(&stat, options.groups, out)?;
            }
        }
        Verb::Tail(options) => {
            let mut files = open(&options.look)?;
            // Somewhere must be where to go on from.
            let count = options.batches.max(usize::from(options.follow));
            let (batches, gaps) = tail(&mut files, count)?;
            tables::tail(&batches, &gaps, out)?;
            if options.follow {
                follow(&mut files, batches.last(), out)?;
            }
        }
        Verb::Export(options) => {
            export::export(&mut Files::open(&options.dir)?, GroupId(options.group), out)?;
        }
        Verb::Quarantine(options) => {
            return quarantine::quarantine(&mut Files::open(&options.dir)?, options.yes, out);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what is added to a log behind `last`, for ever.
fn follow(files: &mut Files, last: Option<&TailBatch>, out: &mut Output) -> Result<(), Failure> {
    let mut follow = last.map(Follow::behind);
    loop {
        out.flush()?;
        thread::sleep(FOLLOW_EVERY);
        match &mut follow {
            Some(follow) => {
                while let Some(batch) = follow.next(files)? {
                    tables::tail_batch(&batch, out)?;
                }
            }
            None => {
                let (batches, _) = tail(files, usize::MAX)?;
                batches.iter().try_for_each(|batch| tables::tail_batch(batch, out))?;
                follow = batches.last().map(Follow::behind);
            }
        }
    }
}

fn open(look: &Look) -> Result<Files, InspectError> {
    if !look.live {
        return Files::open(&look.dir);
    }
    eprintln!(
        "flaredb: the log may be in use: this is how it looked while it was read, and its very \
         end may look damaged"
    );
    Files::live(&look.dir)
}
