//! Programs of others that the tests drive when they are there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where a program is on PATH; says so if it is not there.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        println!("skipped: {program} is not on PATH");
    }
    found
}

/// Runs a command to its end with this input; panics if it takes longer than the patience.
pub(crate) fn run(command: &mut Command, input: &str, patience: Duration) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program may end without having read everything.
    let feeder = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let pid = child.id();
    let waiter = thread::spawn(move || child.wait_with_output().unwrap());
    let until = Instant::now() + patience;
    while !waiter.is_finished() {
        if Instant::now() > until {
            let pid = i32::try_from(pid).unwrap();
            // SAFETY: a signal to a child of ours that has not been waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("{command:?} took longer than {patience:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    feeder.join().unwrap();
    waiter.join().unwrap()
}

/// What a program printed, both streams, as text.
pub(crate) fn text(output: &Output) -> String {
    let mut all = output.stdout.clone();
    all.extend_from_slice(&output.stderr);
    String::from_utf8_lossy(&all).into_owned()
}

/// A Python with redis-py, made once per build folder; says so if it cannot be had.
pub(crate) fn python_with_redis() -> Option<PathBuf> {
    let python = find("python3")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redis-py");
    let inside = folder.join("bin/python");
    let done = folder.join("installed");
    if done.exists() {
        return Some(inside);
    }
    let mut make = Command::new(python);
    make.args(["-m", "venv"]).arg(&folder);
    let mut install = Command::new(&inside);
    install.args(["-m", "pip", "install", "--quiet", "redis"]);
    for command in [&mut make, &mut install] {
        let output = run(command, "", Duration::from_secs(180));
        if !output.status.success() {
            println!("skipped: {command:?}: {}", text(&output));
            return None;
        }
    }
    fs::write(done, "").unwrap();
    Some(inside)
}
