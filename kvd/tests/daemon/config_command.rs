//! `kvd config default`, `check` and `show`, as processes.

use std::fs;
use std::process::Command;

use super::support::{Ended, command, run};
use tempfile::TempDir;

fn config(arguments: &[&str]) -> Command {
    let mut all = vec!["config"];
    all.extend_from_slice(arguments);
    command(&all)
}

fn json(ended: &Ended) -> serde_json::Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

/// A file of this text, and its path.
fn file(dir: &TempDir, text: &str) -> String {
    let path = dir.path().join("kvd.toml");
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[test]
fn the_sample_is_in_order_and_the_table_is_there_for_programs() {
    let dir = TempDir::new().unwrap();
    let sample = run(&mut config(&["default"]));
    assert_eq!(sample.code, Some(0), "{sample:?}");
    let path = file(&dir, &sample.stdout);
    let checked = run(&mut config(&["check", &path]));
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.ends_with("is in order\n"), "{checked:?}");

    let table = json(&run(&mut config(&["default", "-o", "json"])));
    let rows = table.as_array().unwrap();
    assert_eq!(rows.len(), kvd::config::TABLE.len());
    let memory = rows.iter().find(|row| row["key"] == "memory.max_bytes");
    let memory = memory.expect("a row");
    assert_eq!(memory["environment"], "KVD_MEMORY__MAX_BYTES");
    assert_eq!(memory["change"], "reload");
}

#[test]
fn every_problem_is_named_with_its_place() {
    let dir = TempDir::new().unwrap();
    let text =
        "[log]\nsnyc = \"always\"\nsegment_bytes = 64\n\n[server]\n  max_streams = \"many\"\n";
    let path = file(&dir, text);
    let checked = run(&mut config(&["check", &path]));
    assert_eq!(
        (checked.code, &checked.stdout[..]),
        (Some(78), ""),
        "{checked:?}"
    );
    let expected = [
        format!("kvd: {path}:2:1: there is no setting \"log.snyc\"; the nearest is \"log.sync\""),
        format!("kvd: {path}:3:17: log.segment_bytes: a size needs its unit"),
        format!("kvd: {path}:6:17: server.max_streams: "),
    ];
    for line in expected {
        assert!(checked.stderr.contains(&line), "{line}: {checked:?}");
    }
    let told = run(&mut config(&["check", &path, "-o", "json"]));
    assert_eq!(told.code, Some(78), "{told:?}");
    let told = json(&told);
    let problems = told["problems"].as_array().unwrap();
    assert_eq!((told["ok"].as_bool(), problems.len()), (Some(false), 3));
    assert_eq!(problems[1]["key"], "log.segment_bytes");
    let place = (
        &problems[1]["origin"]["line"],
        &problems[1]["origin"]["column"],
    );
    assert_eq!((place.0.as_u64(), place.1.as_u64()), (Some(3), Some(17)));
    // What the engine could not work with is refused as well, not only at a start.
    let path = file(&dir, "[log]\nsegment_bytes = \"1MiB\"\n");
    let checked = run(&mut config(&["check", &path]));
    assert_eq!(checked.code, Some(78), "{checked:?}");
    assert!(
        checked.stderr.contains("a quarter of log.segment_bytes"),
        "{checked:?}"
    );
}

#[test]
fn a_profile_that_cannot_work_is_found_although_nobody_chose_it() {
    let dir = TempDir::new().unwrap();
    let path = file(
        &dir,
        "[profile.dev.limits]\nvalue_bytes = \"16MiB\"\n[profile.prod]\n",
    );
    let checked = run(&mut config(&["check", &path]));
    assert_eq!(checked.code, Some(78), "{checked:?}");
    assert!(checked.stderr.contains("with profile dev: "), "{checked:?}");
    let prod = run(&mut config(&["check", &path, "--profile", "prod"]));
    assert_eq!(prod.code, Some(0), "{prod:?}");
    let unknown = run(config(&["check", &path]).env("KVD_PROFILE", "pord"));
    assert_eq!(unknown.code, Some(78), "{unknown:?}");
    assert!(unknown.stderr.contains("has dev, prod"), "{unknown:?}");
    // And so is it where it counts.
    let served = run(&mut command(&[
        "serve",
        "--config",
        &path,
        "--profile",
        "pord",
    ]));
    assert_eq!(served.code, Some(78), "{served:?}");
}

#[test]
fn every_value_is_shown_with_its_origin() {
    let dir = TempDir::new().unwrap();
    let path = file(
        &dir,
        "[log]\nsync = \"never\"\n[memory]\nmax_bytes = \"1GiB\"\n[profile.p.log]\nio = \"pwrite\"\n",
    );
    let arguments = [
        "show",
        "--config",
        &path,
        "--profile",
        "p",
        "--drain-timeout",
        "5s",
    ];
    let shown = run(config(&arguments).env("KVD_MEMORY__MAX_BYTES", "2GiB"));
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let line = |key: &str| {
        let mut lines = shown.stdout.lines();
        let line = lines.find(|line| line.starts_with(key)).expect(key);
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        line("log.sync"),
        ["log.sync", "never", &format!("{path}:2")]
    );
    assert_eq!(line("log.io")[1..4], ["pwrite", "profile", "p,"]);
    assert_eq!(
        line("memory.max_bytes")[1..],
        ["2GiB", "environment", "KVD_MEMORY__MAX_BYTES"]
    );
    assert_eq!(line("server.drain_timeout")[1..], ["5s", "--drain-timeout"]);
    assert_eq!(line("server.listen")[1..], ["127.0.0.1:7500", "default"]);
    let arguments = ["show", "--config", &path, "-o", "json"];
    let shown = json(&run(&mut config(&arguments)));
    let settings = shown["settings"].as_array().unwrap();
    assert_eq!(settings.len(), kvd::config::TABLE.len());
    let sync = settings
        .iter()
        .find(|row| row["key"] == "log.sync")
        .unwrap();
    assert_eq!(
        (&sync["value"], &sync["origin"]["line"]),
        (&"never".into(), &2.into())
    );
    assert_eq!(shown["profile"], serde_json::Value::Null);
}
