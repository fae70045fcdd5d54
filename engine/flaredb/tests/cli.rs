//! The command line: mistakes get one sentence and exit code 2, and the example is valid.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

fn flaredb(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flaredb"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLAREDB_")) {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("flaredb: ") && said.lines().count() == 1, "{said}");
    said
}

#[test]
fn mistakes_get_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    let path = path.to_str().unwrap();
    assert!(refused(&flaredb(&["check-config", path])).contains("cannot be read"));
    std::fs::write(path, "node = 1\nnoode = 2\n").unwrap();
    let said = refused(&flaredb(&["check-config", path]));
    assert!(said.contains("line 2: unknown field `noode`"), "{said}");
    std::fs::write(path, "node = \n").unwrap();
    assert!(refused(&flaredb(&["start", "--config", path])).contains("line 1"));
    assert!(refused(&flaredb(&["start"])).contains("`node` is missing"));
    assert_eq!(flaredb(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn check_tells_each_value_and_its_origin() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/node.example.toml");
    assert!(flaredb(&["check-config", example]).status.success());
    let output = flaredb(&["start", "--config", example, "--cores", "2", "--check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    assert!(said.contains("cores            flag         2\n"), "{said}");
    assert!(said.contains("cluster          file         example\n"), "{said}");
    assert!(said.contains("groups           default      12\n"), "{said}");
}
