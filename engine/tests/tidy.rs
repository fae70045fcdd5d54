//! The house rules that no compiler checks: who may import whom, what lies where, how long it gets.
//!
//! Every rule is a function from what was found to a list of complaints, so that each can be shown
//! to complain (the tests at the end) as well as to be kept (the tests in the middle).

#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Crates of the workspace, and which of the others each may import.
const IMPORTS: &[(&str, &[&str])] = &[
    ("raft-core", &[]),
    ("raft-differential", &["raft-core"]),
    ("multi-raft", &["raft-core"]),
    ("wal", &["raft-core"]),
    ("net", &["raft-core"]),
    ("engine", &["raft-core", "multi-raft", "wal", "net"]),
    ("flaredb", &["engine", "wal"]),
    ("chainfire", &["raft-core", "wal", "net"]),
    ("sim", &["raft-core", "multi-raft", "wal", "net", "engine", "flaredb"]),
    ("bench", &["raft-core", "multi-raft", "wal", "net", "engine", "flaredb"]),
];

/// The pure crates may depend on these foreign crates and no others.
const PURE: &[(&str, &[&str])] = &[("raft-core", &["bytes"]), ("multi-raft", &["bytes"])];

/// Foreign crates that change the nature of who imports them, and who may.
const RESTRICTED: &[(&str, &[&str])] = &[
    ("glommio", &["engine"]),
    ("io-uring", &["engine", "wal", "net"]),
    ("tokio", &["chainfire"]),
    ("memmap2", &["wal"]),
    ("raft", &["bench", "raft-differential"]),
];

/// What may lie at the top of the repository; `.git` and `target` are not looked at.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "bench",
    "engine",
    "net",
    "wal",
];

const FILE_LINES_MAX: usize = 500;
const LINE_COLUMNS_MAX: usize = 100;

/// Words that a finished file does not hold, in halves so that this file does not hold them either.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("#[ig", "nore")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn packages() -> Vec<Package> {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap().packages
}

/// All files of the repository with this ending, by path from the top, with their text.
fn files(ending: &str) -> BTreeMap<String, String> {
    fn walk(folder: &Path, top: &Path, ending: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    walk(&path, top, ending, found);
                }
            } else if name.ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap();
                let from_top = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
                found.insert(from_top, text);
            }
        }
    }
    let top = root();
    let mut found = BTreeMap::new();
    walk(&top, &top, ending, &mut found);
    found
}

fn listed<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(n, _)| *n == name).map(|(_, allowed)| *allowed)
}

/// Complaints about one import of one crate.
fn import_complaints(importer: &str, imported: &str, for_tests_only: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |law: &str| complaints.push(format!("{importer} -> {imported}: {law}"));
    let ours = IMPORTS.iter().any(|(name, _)| *name == imported);
    if ours {
        match listed(IMPORTS, importer) {
            Some(allowed) if allowed.contains(&imported) => {}
            _ => complain("not in the import table"),
        }
        return complaints;
    }
    if listed(RESTRICTED, imported).is_some_and(|allowed| !allowed.contains(&importer)) {
        complain("this foreign crate is not for everybody");
    }
    if !for_tests_only && listed(PURE, importer).is_some_and(|a| !a.contains(&imported)) {
        complain("a pure crate");
    }
    complaints
}

/// Lines of code in which a word occurs as a path or an import; comments may say what they like.
fn named_in_code(text: &str, word: &str) -> bool {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(word).any(|(at, _)| {
            let rest = &line[at + word.len()..];
            let before = line[..at].chars().next_back();
            rest.starts_with("::") && !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    })
}

fn may_name_glommio(path: &str) -> bool {
    path == "engine/src/runtime.rs"
}

fn may_name_io_uring(path: &str) -> bool {
    let beside = ["/tests/", "/tests.rs", "/examples/"].iter().any(|at| path.contains(at));
    match path.split_once('/') {
        Some(("engine", rest)) => matches!(rest, "src/ring.rs" | "src/builder.rs"),
        Some(("wal" | "net", rest)) => rest.starts_with("src/uring") || beside,
        _ => false,
    }
}

fn length_complaints(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        complaints.push(format!("{path}: {lines} lines, more than {FILE_LINES_MAX}"));
    }
    for (number, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            complaints.push(format!("{path}:{}: {columns} columns", number + 1));
        }
    }
    complaints
}

fn unfinished_complaints(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            complaints.push(format!("{path}:{}: {word}", number + 1));
        }
    }
    complaints
}

/// The targets of the local links of a Markdown text.
fn local_links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split(['#', ' ']).next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .filter(|target| !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

fn takes_workspace_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]");
    lines.next().is_some() && lines.next().is_some_and(|line| line == "workspace = true")
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn crates_import_only_whom_they_may() {
    let packages = packages();
    let mut complaints = Vec::new();
    for package in &packages {
        if listed(IMPORTS, &package.name).is_none() {
            complaints.push(format!("{}: not in the import table", package.name));
        }
        for import in &package.dependencies {
            let tests_only = import.kind == DependencyKind::Development;
            complaints.extend(import_complaints(&package.name, &import.name, tests_only));
        }
    }
    assert!(packages.len() >= 7, "cargo knows only {} crates", packages.len());
    assert_none(&complaints);
}

#[test]
fn the_runtime_and_the_ring_are_named_where_they_live() {
    let mut complaints = Vec::new();
    for (path, text) in files(".rs") {
        if named_in_code(&text, "glommio") && !may_name_glommio(&path) {
            complaints.push(format!("{path} names glommio"));
        }
        if named_in_code(&text, "io_uring") && !may_name_io_uring(&path) {
            complaints.push(format!("{path} names io_uring"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn pure_crates_have_no_clock_thread_or_unordered_map() {
    let foreign = ["HashMap", "HashSet", "Instant", "SystemTime", "std::thread", "std::net"];
    let mut complaints = Vec::new();
    let pure = ["engine/raft-core/src/", "engine/multi-raft/src/"];
    for (path, text) in files(".rs") {
        if !pure.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for word in foreign.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!("{path}: {word}: {}", line.trim()));
            }
        }
    }
    let core = fs::read_to_string(root().join("engine/raft-core/src/lib.rs")).unwrap();
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        if !core.contains(attribute) {
            complaints.push(format!("engine/raft-core/src/lib.rs lacks {attribute}"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_top_level_is_as_agreed() {
    let found: BTreeSet<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != ".git" && name != "target")
        .collect();
    let agreed: BTreeSet<String> = TOP.iter().map(|&name| name.to_owned()).collect();
    let extra: Vec<_> = found.difference(&agreed).collect();
    let missing: Vec<_> = agreed.difference(&found).collect();
    assert!(extra.is_empty() && missing.is_empty(), "extra: {extra:?}, missing: {missing:?}");
}

#[test]
fn files_and_lines_are_of_readable_length() {
    let sources = files(".rs");
    assert!(sources.len() > 20, "only {} sources found", sources.len());
    assert_none(&sources.iter().flat_map(|(p, t)| length_complaints(p, t)).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_unfinished() {
    let sources = files(".rs").into_iter().chain(files(".toml")).chain(files(".md"));
    let complaints: Vec<_> = sources.flat_map(|(p, t)| unfinished_complaints(&p, &t)).collect();
    assert_none(&complaints);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let manifests = packages().into_iter().map(|package| package.manifest_path);
    let bare: Vec<_> = manifests
        .filter(|path| !takes_workspace_lints(&fs::read_to_string(path).unwrap()))
        .map(|path| format!("{path} lacks [lints] workspace = true"))
        .collect();
    assert_none(&bare);
}

#[test]
fn local_links_lead_somewhere() {
    let mut complaints = Vec::new();
    for (path, text) in files(".md") {
        let folder = root().join(&path).parent().unwrap().to_path_buf();
        for link in local_links(&text) {
            if !folder.join(&link).exists() {
                complaints.push(format!("{path} links to {link}, which is not there"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_import_rules_bite() {
    assert!(import_complaints("engine", "wal", false).is_empty());
    assert!(import_complaints("raft-core", "proptest", true).is_empty());
    assert_eq!(import_complaints("wal", "net", false).len(), 1);
    assert_eq!(import_complaints("flaredb", "raft-core", false).len(), 1);
    assert_eq!(import_complaints("raft-core", "rand", false).len(), 1);
    assert_eq!(import_complaints("flaredb", "glommio", false).len(), 1);
    assert_eq!(import_complaints("engine", "tokio", true).len(), 1);
}

#[test]
fn the_text_rules_bite() {
    assert!(named_in_code(concat!("use glom", "mio::Executor;"), "glommio"));
    assert!(named_in_code(concat!("let r = ::io_", "uring::IoUring::new(2);"), "io_uring"));
    assert!(!named_in_code(concat!("// glom", "mio::Executor\nmy_glom", "mio::x"), "glommio"));
    assert!(may_name_io_uring("wal/src/uring.rs") && !may_name_io_uring("wal/src/lib.rs"));
    assert!(!may_name_io_uring("engine/flaredb/tests/x.rs"));

    assert_eq!(length_complaints("x.rs", &"x\n".repeat(FILE_LINES_MAX)).len(), 0);
    assert_eq!(length_complaints("x.rs", &"x\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    assert_eq!(length_complaints("x.rs", &"é".repeat(LINE_COLUMNS_MAX + 1)).len(), 1);
    assert_eq!(unfinished_complaints("x.rs", &format!("a\n// {}", UNFINISHED[0])).len(), 1);

    assert!(takes_workspace_lints("[package]\n\n[lints]\nworkspace = true\n"));
    assert!(!takes_workspace_lints("[package]\n[lints.rust]\nworkspace = true\n"));
    let links = local_links("[a](x.md#part) [b](https://e.org/y) ![c](z.png \"t\") [d](#here)");
    assert_eq!(links, ["x.md", "z.png"]);
}
