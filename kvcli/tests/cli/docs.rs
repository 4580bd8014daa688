//! Every command that README.md and the pages in docs/ show is run as it stands there.

use std::{fs, path::PathBuf, process::Stdio};

use crate::{
    fake::Fake,
    run::{Ended, feed, kvcli, run, wait},
};

fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the repository").to_owned()
}

/// README.md and everything in docs/ but the evidence, which programs write.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md")];
    let mut dirs = vec![root().join("docs")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "evidence") {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a page");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The fenced blocks of a page in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.by_ref().any(|line| line == opening) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

/// The code spans of a page.
fn spans(page: &str) -> Vec<&str> {
    let mut code = false;
    let text = page.lines().filter(|line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    });
    text.flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

/// Runs lines in a shell in which kvcli is this program.
fn shell(fake: &Fake, lines: &str) -> Ended {
    let program = env!("CARGO_BIN_EXE_kvcli");
    let mut command = std::process::Command::new("sh");
    command
        .args([
            "-eu",
            "-c",
            &format!("kvcli() {{ {program} \"$@\"; }}\n{lines}"),
        ])
        .env("KVCLI_ENDPOINT", &fake.endpoint)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    wait(command.spawn().expect("a shell"))
}

#[test]
fn every_shell_block_runs_and_prints_what_it_says() {
    let mut commands = 0;
    for (path, page) in pages() {
        let fake = Fake::start();
        for block in blocks(&page, "sh") {
            let is_ours = |line: &str| line.starts_with("kvcli ") || line.contains("| kvcli");
            let lines: Vec<&str> = if path.ends_with("README.md") {
                // The rest starts and kills a daemon; an acceptance script does that.
                block.lines().filter(|line| is_ours(line)).collect()
            } else {
                block.lines().collect()
            };
            if !lines.iter().any(|line| is_ours(line)) {
                continue;
            }
            commands += lines.iter().filter(|line| is_ours(line)).count();
            let ended = shell(&fake, &lines.join("\n")).exits(0);
            let printed = String::from_utf8_lossy(&ended.out);
            for line in lines {
                let Some((_, wanted)) = line.split_once("# prints ") else {
                    continue;
                };
                assert!(
                    printed.contains(wanted),
                    "{}: {line}\nprinted {printed}",
                    path.display()
                );
            }
        }
    }
    assert!(commands >= 15, "only {commands} commands were found");
}

#[test]
fn every_session_block_runs() {
    let mut found = 0;
    for (_, page) in pages() {
        for block in blocks(&page, "kvcli") {
            found += 1;
            feed(&Fake::start(), &[], block).exits(0);
        }
    }
    assert!(found > 0);
}

#[test]
fn every_command_in_a_sentence_is_one() {
    let fake = Fake::start();
    let words = tempfile::NamedTempFile::new().expect("a file");
    fs::write(words.path(), "alpha\nbeta\n").expect("words");
    for (path, page) in pages() {
        for span in spans(&page) {
            let starts = span.strip_prefix("kvcli ");
            let ended = if span.ends_with("| kvcli") {
                let path = words.path().display().to_string();
                shell(&fake, &span.replace("/usr/share/dict/words", &path)).exits(0)
            } else if let Some(args) = starts.filter(|args| !args.starts_with("--endpoint")) {
                // A sentence names a command, its help says whether there is one.
                let mut args: Vec<&str> = args.split(' ').collect();
                args.push("--help");
                run(&fake, &args).exits(0)
            } else {
                continue;
            };
            assert!(ended.code == Some(0), "{}: {span}", path.display());
        }
    }
    assert!(fake.value(b"alpha").is_some(), "README.md shows a script");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("man1");
    let start = |args: &[&str]| {
        let child = kvcli().args(args).spawn().expect("the program starts");
        wait(child)
    };
    let write = path.to_str().expect("a path");
    start(&["man", "--dir", write]).exits(0).prints("");
    let page = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
    for command in ["get", "set", "txn", "rm", "bench", "top"] {
        let text = page(&format!("kvcli-{command}.1"));
        assert!(text.contains(".SH SYNOPSIS"), "{command}: {text}");
    }
    assert!(page("kvcli-incr.1").contains("incr stock"));
    assert!(page("kvcli.1").contains("KVCLI_ENDPOINT"));
    for shell in ["bash", "zsh", "fish"] {
        let ended = start(&["completions", shell]).exits(0);
        for word in ["mget", "if-absent", "read-level", "bench"] {
            assert!(ended.text().contains(word), "{shell} does not know {word}");
        }
    }
    // A shell takes what was made for it.
    let script = dir.path().join("kvcli.bash");
    fs::write(&script, start(&["completions", "bash"]).exits(0).out).expect("written");
    let ask =
        "COMP_WORDS=(kvcli mg); COMP_CWORD=1; _kvcli kvcli mg kvcli; echo \"${COMPREPLY[@]}\"";
    let line = format!("source {}; {ask}", script.display());
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", &line]).stdout(Stdio::piped());
    if let Ok(child) = bash.spawn() {
        wait(child).exits(0).prints("mget\n");
    }
    start(&["completions", "tcsh"])
        .exits(2)
        .says("possible values");
    start(&["man", "--dir", "/dev/null/x"])
        .exits(2)
        .says("/dev/null/x");
}
