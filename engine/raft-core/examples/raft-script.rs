//! Drives a few replicas of one group by a script and prints what they do.
//!
//! ```text
//! raft-script [--bare] [--strict] [FILE]
//! ```
//!
//! The commands are read from the file or from standard input, one per line. The output is the
//! script again with the output of each command below it, so it is a script itself; with `--bare`
//! it is the outputs alone. `help` and `--help` name the commands and the notation.

#[path = "../tests/script/mod.rs"]
mod script;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::process::ExitCode;

use script::Interpreter;
use script::help::HELP;

const USAGE: &str = "\
raft-script [--bare] [--strict] [FILE]

Drives a few replicas of one Raft group by a script, from FILE or standard input, and prints the
script with the output of every command below it.

  --bare    print the outputs only
  --strict  exit with 1 if a command was refused or a law of Raft was broken
  --help    print this and the commands
";

#[derive(Default)]
struct Options {
    bare: bool,
    strict: bool,
    help: bool,
    file: Option<String>,
}

fn parse(words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    for word in words {
        match word.as_str() {
            "--bare" => options.bare = true,
            "--strict" => options.strict = true,
            "--help" | "-h" => options.help = true,
            _ if word.starts_with('-') && word != "-" => {
                return Err(format!("there is no option {word}; see --help"));
            }
            _ if options.file.is_some() => return Err("only one script at a time".into()),
            _ => options.file = Some(word),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(sentence) => {
            eprintln!("raft-script: {sentence}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(refused) => ExitCode::from(u8::from(options.strict && refused > 0)),
        // Nobody reads any more: nothing is wrong with the script.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raft-script: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<usize> {
    let mut out = io::stdout().lock();
    if options.help {
        write!(out, "{USAGE}{HELP}")?;
        return Ok(0);
    }
    let input: Box<dyn BufRead> = match options.file.as_deref() {
        None | Some("-") => Box::new(io::stdin().lock()),
        Some(path) => {
            let file = File::open(path)
                .map_err(|e| io::Error::new(e.kind(), format!("{path} cannot be read: {e}")))?;
            Box::new(BufReader::new(file))
        }
    };
    // A broken law is part of the output; where in the source it was found, nobody asked.
    std::panic::set_hook(Box::new(|_| {}));
    let mut interpreter = Interpreter::default();
    // Between ---- and the next empty line stands what was printed at another time.
    let mut expected = false;
    for line in input.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if expected {
            expected = !line.is_empty();
            continue;
        }
        expected = line == "----";
        let done = if expected { interpreter.finish() } else { interpreter.feed(line) };
        for done in done {
            print(&mut out, options.bare, &done.statement, &done.output)?;
        }
        if line.starts_with('#') && !options.bare {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    }
    for done in interpreter.finish() {
        print(&mut out, options.bare, &done.statement, &done.output)?;
    }
    Ok(interpreter.refused())
}

fn print(out: &mut impl Write, bare: bool, statement: &str, output: &str) -> io::Result<()> {
    let output = if output.is_empty() { "ok\n" } else { output };
    if bare { write!(out, "{output}") } else { write!(out, "{statement}\n----\n{output}\n") }
}
