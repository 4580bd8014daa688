//! Holds kvcore to its layers: a module uses those above it and never those below.
//!
//! The sources are read as tokens (without comments and literals), and every path
//! from the crate's root is compared with the table below. A path may be written as
//! `crate::log::..`, in a group, or with enough `super::` to reach the root.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each module with those it may use besides itself. The order is that of the layers.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("disk", &["base"]),
    ("format", &["base"]),
    ("log", &["base", "disk", "format"]),
    ("store", &["base"]),
    ("dedup", &["base"]),
    ("expiry", &["base", "store"]),
    ("snapshot", &["base", "disk", "format", "store", "dedup"]),
    ("watch", &["base", "disk", "format", "log", "store"]),
    (
        "commit",
        &["base", "format", "log", "store", "dedup", "expiry", "watch"],
    ),
    (
        "recovery",
        &[
            "base", "disk", "format", "log", "store", "dedup", "snapshot",
        ],
    ),
    (
        "engine",
        &[
            "base", "disk", "format", "log", "store", "dedup", "expiry", "snapshot", "watch",
            "commit", "recovery",
        ],
    ),
];

/// Words that may stand in one place only, and why.
const FENCED: &[(&str, &[&str], &str)] = &[
    (
        "dashmap",
        &["store/tables.rs"],
        "a guard that is let out can deadlock",
    ),
    (
        "hashbrown",
        &["store/tables.rs"],
        "the tables that dashmap hands out",
    ),
    (
        "unsafe",
        &["disk/mmap.rs", "disk/mmap/"],
        "argued for in one place",
    ),
    (
        "memmap2",
        &["disk/mmap.rs", "disk/mmap/"],
        "a mapping is a disk's business",
    ),
];

/// Crates that the engine must be able to live without.
const ABSENT: &[&str] = &[
    "tokio",
    "tonic",
    "hyper",
    "clap",
    "prost",
    "futures",
    "async-std",
];

#[test]
fn no_module_uses_a_layer_below_it() {
    let files = sources();
    let seen: BTreeSet<&str> = files.iter().map(Source::module).collect();
    let declared: BTreeSet<&str> = LAYERS.iter().map(|(module, _)| *module).collect();
    assert_eq!(seen, declared, "every module of kvcore has its layer");
    let found: Vec<String> = files.iter().flat_map(Source::violations).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn what_is_fenced_stays_in_its_file() {
    let mut found = Vec::new();
    for file in sources() {
        for (word, homes, why) in FENCED {
            let at_home = homes.iter().any(|home| {
                file.name == *home || (home.ends_with('/') && file.name.starts_with(home))
            });
            if !at_home && file.tokens.iter().any(|token| token == word) {
                found.push(format!(
                    "{}: `{word}` belongs into {homes:?}: {why}",
                    file.name
                ));
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_engine_needs_no_runtime_and_no_network() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "kvcore", "-e", "normal", "--features", "sim"])
        .args(["--prefix", "none", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs: it runs this test");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && tree.contains("crossbeam-channel"),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let present: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| ABSENT.contains(name))
        .collect();
    assert!(present.is_empty(), "kvcore depends on {present:?}");
}

#[test]
fn the_check_sees_every_way_to_write_a_path() {
    let wrong = [
        ("log/writer.rs", "use crate::store::Record;"),
        ("log/writer.rs", "use crate::{base::op, store::Record};"),
        (
            "log/writer.rs",
            "use crate::{\n    base::{op, revision},\n    commit,\n};",
        ),
        ("log/mod.rs", "fn f(x: &crate::engine::Engine) {}"),
        ("disk/sim/file.rs", "use super::super::super::log::ring;"),
        ("store/mod.rs", "use super::{base, log};"),
        ("base/op.rs", "use crate::Engine;"),
        (
            "format/unit.rs",
            "macro_rules! m { () => { $crate::disk::open() } }",
        ),
        ("store/entry.rs", "use crate::*;"),
    ];
    for (name, text) in wrong {
        let violations = Source::new(name, text).violations();
        assert_eq!(violations.len(), 1, "{name}: {text}: {violations:?}");
    }
    let right = [
        (
            "log/writer.rs",
            "pub(crate) fn f() { crate::log::ring::g(crate::base::op::X) }",
        ),
        (
            "log/writer.rs",
            "use super::ring; // not crate::store\n/* crate::store /* too */ */",
        ),
        (
            "store/mod.rs",
            "const S: &str = \"crate::log\"; const R: &str = r#\"\"crate::log\"#;",
        ),
        (
            "disk/sim/mod.rs",
            "use super::super::disk; fn f<'a>(c: char) -> bool { c == '\"' }",
        ),
        (
            "engine/open.rs",
            "use crate::{base, commit::{self, Error}, recovery};",
        ),
    ];
    for (name, text) in right {
        let violations = Source::new(name, text).violations();
        assert!(violations.is_empty(), "{name}: {text}: {violations:?}");
    }
}

/// One source file below `kvcore/src`, except `lib.rs`, which sees everything.
struct Source {
    name: String,
    tokens: Vec<String>,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            tokens: tokens(text),
        }
    }

    fn module(&self) -> &str {
        let end = self.name.find(['/', '.']).unwrap_or(self.name.len());
        &self.name[..end]
    }

    /// How many `super` lead from this file's module to the root.
    fn depth(&self) -> usize {
        let inner = self.name.matches('/').count();
        inner + usize::from(!self.name.ends_with("mod.rs"))
    }

    fn violations(&self) -> Vec<String> {
        let own = self.module();
        let (_, allowed) = LAYERS
            .iter()
            .find(|(module, _)| *module == own)
            .unwrap_or_else(|| panic!("{}: no layer is given for it", self.name));
        self.used()
            .into_iter()
            .filter(|used| used != own && !allowed.contains(&used.as_str()))
            .map(|used| format!("{}: {own} must not use crate::{used}", self.name))
            .collect()
    }

    /// The first word of every path that begins at the crate's root.
    fn used(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        let mut at = 0;
        while at < self.tokens.len() {
            match self.root(at) {
                Some(behind) => {
                    self.first_words(behind, &mut used);
                    at = behind;
                }
                None => at += 1,
            }
        }
        used
    }

    /// If a path from the root begins at `at`: where it goes on behind `crate::`.
    fn root(&self, at: usize) -> Option<usize> {
        let token = |i: usize| self.tokens.get(i).map(String::as_str);
        if token(at) == Some("crate") && token(at + 1) == Some("::") {
            return Some(at + 2);
        }
        let mut supers = 0;
        while token(at + 2 * supers) == Some("super") && token(at + 2 * supers + 1) == Some("::") {
            supers += 1;
        }
        (supers > 0 && supers >= self.depth()).then_some(at + 2 * supers)
    }

    /// `a::b` names `a`; `{a::b, c}` names `a` and `c`.
    fn first_words(&self, at: usize, used: &mut BTreeSet<String>) {
        let mut depth = 0;
        let mut first = true;
        for token in &self.tokens[at..] {
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => first = true,
                _ if first && depth <= 1 => {
                    used.insert(token.clone());
                    first = false;
                }
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }
}

/// Words, `::` and single signs; comments, strings and characters left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_len(rest)
        } else if let Some(len) = literal_len(rest) {
            len
        } else if c.is_alphanumeric() || c == '_' {
            let len = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            c.len_utf8()
        };
        rest = &rest[len..];
    }
    tokens
}

/// The length of a block comment, with those inside it.
fn comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of a string or character at the start of `rest`, if there is one.
fn literal_len(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let from = prefix + 1 + hashes + 1;
            let len = rest[from..].find(&close)? + close.len();
            return Some(from + len);
        }
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(prefix + at + 1),
            // A lifetime: one word and no closing quote behind it.
            _ if quote == '\'' && at > 1 && !body[1..].starts_with('\\') => return None,
            _ => {}
        }
    }
    None
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    files
        .iter()
        .filter(|path| **path != root.join("lib.rs"))
        .map(|path| {
            let name = path.strip_prefix(&root).expect("it was found there");
            let text = fs::read_to_string(path).expect("sources are readable text");
            Source::new(&name.to_string_lossy(), &text)
        })
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the sources are here") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
