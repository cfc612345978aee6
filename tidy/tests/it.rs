//! The house rules.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::collections::BTreeMap;
use std::path::PathBuf;
use tidy::{files, read, root, section};

/// The direction table of ARCHITECTURE.md. A crate imports from strictly lower levels only.
const LEVELS: [(&str, u8); 10] = [
    ("crypto", 0),
    ("types", 1),
    ("ledger", 2),
    ("execution", 3),
    ("chain", 4),
    ("consensus", 5),
    ("network", 5),
    ("rpc", 5),
    ("node", 6),
    ("bench", 2), // a client: sees what crosses the wire, `types` and `crypto`, and nothing of a node's inside
];

/// Longer files hide a second noun.
const LINES_MAX: usize = 800;

/// The folders of the workspace's crates; what lies deeper (a benchmark of other stores) stands alone.
fn crates() -> Vec<PathBuf> {
    let folders = ["crates", "clients"].map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let mut folders: Vec<_> = folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("Cargo.toml").exists());
    folders.sort();
    folders
}

#[test]
fn imports_go_strictly_downward() {
    let levels = BTreeMap::from(LEVELS);
    for folder in crates() {
        let manifest = folder.join("Cargo.toml");
        let text = read(&manifest);
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let level = levels.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no place in the direction table"));
        for import in section(&text, "dependencies") {
            let Some(below) = levels.get(import) else { continue };
            assert!(below < level, "{name} (level {level}) imports {import} (level {below})");
        }
    }
}

#[test]
fn the_direction_table_is_the_documents() {
    let text = read(&root().join("ARCHITECTURE.md"));
    for (name, level) in LEVELS.iter().filter(|(name, _)| *name != "bench") {
        let line = text.lines().find(|line| line.starts_with(&format!("{level}  ")));
        let line = line.unwrap_or_else(|| panic!("ARCHITECTURE.md has no level {level}"));
        assert!(line.split([' ', '←']).any(|word| word == *name), "ARCHITECTURE.md does not place {name} at {level}");
    }
}

/// Paths in backquotes that look like paths of ours, in every document.
#[test]
fn documents_name_no_dead_paths() {
    let roots = ["crates/", "clients/", "tidy/", "docs/", "deploy/", "examples/", "fuzz/", ".ci/"];
    for document in files(&root(), &[".md"]) {
        for word in read(&document).split('`').skip(1).step_by(2) {
            let path = word.split(['#', ':']).next().unwrap_or(word);
            let is_path = roots.iter().any(|root| path.starts_with(root)) && !path.contains([' ', '*', '{', '<']);
            assert!(!is_path || root().join(path).exists(), "{}: `{word}` is not there", document.display());
        }
    }
}

#[test]
fn a_row_that_is_claimed_has_a_path_and_a_test() {
    let text = read(&root().join("docs/reference-architecture.md"));
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| R") || line.starts_with("| P"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 10, "the table is gone");
    for row in rows {
        assert_eq!(row.len(), 4, "row, component, path, test: {row:?}");
        assert!(row[2].contains('`') && row[3].contains('`'), "{} is claimed without a path or a test", row[0]);
    }
}

#[test]
fn sources_keep_the_house_style() {
    let vague = ["mod.rs", "util.rs", "utils.rs", "helper.rs", "helpers.rs", "common.rs", "misc.rs", "base.rs"];
    for source in files(&root().join("crates"), &[".rs"]) {
        let name = source.file_name().unwrap().to_string_lossy().into_owned();
        let text = read(&source);
        assert!(!vague.contains(&name.as_str()), "{}: a name that says nothing", source.display());
        assert!(text.starts_with("//!") || text.starts_with("#!["), "{}: says not what it is", source.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{}: {lines} lines; look for the second noun", source.display());
        for mark in ["TODO", "FIXME", "XXX", "HACK"] {
            assert!(
                !text.contains(&format!("{mark}:")) && !text.contains(&format!("{mark} ")),
                "{}: {mark}",
                source.display()
            );
        }
    }
}

/// Levels 0 to 4 are deterministic: time and randomness come as arguments.
#[test]
fn the_deterministic_levels_ask_nobody_for_time_or_chance() {
    let ambient = ["SystemTime::now", "Instant::now", "thread_rng()", "rand::rng()", "std::thread::sleep"];
    for (name, _) in LEVELS.iter().filter(|(name, level)| *level <= 4 && !["crypto", "bench"].contains(name)) {
        for source in files(&root().join("crates").join(name).join("src"), &[".rs"]) {
            let text = read(&source);
            let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
            for word in ambient {
                assert!(!code.contains(word), "{}: {word}", source.display());
            }
        }
    }
}
