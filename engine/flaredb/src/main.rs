//! The `flaredb` program.

use std::process::ExitCode;

/// Every write allocates on one shard and frees on another; the allocator of the C library spends a
/// fifth of the processor on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    flaredb::cli::run()
}
