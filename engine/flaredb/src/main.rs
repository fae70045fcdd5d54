//! The `flaredb` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    flaredb::cli::run()
}
