//! What is refused, and that all of it is named at once.

use super::super::*;
use super::{file, with_file, with_flags};

#[test]
fn what_is_refused_is_named() {
    let cases: &[(&str, &[&str])] = &[
        (
            "[log]\nsegment_bytes = 67108864",
            &["kvd.toml:2", "log.segment_bytes", "needs its unit"],
        ),
        (
            "[log]\nsegment_byte = \"64MiB\"",
            &["kvd.toml:2", "segment_byte", "log.segment_bytes"],
        ),
        (
            "[log]\nsync = \"interval:5\"",
            &["log.sync", "needs its unit"],
        ),
        ("[log]\nsync = \"interval:0s\"", &["always"]),
        (
            "[server]\ndrain_timeout = 20",
            &["server.drain_timeout", "needs its unit"],
        ),
        ("[server]\nmax_streams = 0", &["outside 1 to 65536"]),
        (
            "[server]\nmax_streams = 1.5",
            &["kvd.toml:2", "\"1.5\" is not a whole number"],
        ),
        ("[server]\nruntimes = 0", &["server.runtimes"]),
        (
            "[server]\nlisten = \"unix:run/kvd\"",
            &["unix:run/kvd", "absolute path"],
        ),
        ("[server]\nlisten = []", &["server.listen"]),
        ("[server]\nlisten = \"unix:/a b\"", &["without blanks"]),
        ("[server]\nunix_mode = \"0888\"", &["octal"]),
        ("[server]\nunix_mode = \"01777\"", &["0000 to 0777"]),
        ("[store\n", &["kvd.toml:1:"]),
        (
            "[log.sync]\nnever = true",
            &["kvd.toml:1", "log.sync: a table is no value"],
        ),
        ("profile = 1", &["kvd.toml:1:11", "[profile.NAME]"]),
        (
            "profile.prod = 1",
            &["kvd.toml:1:16", "a table of settings"],
        ),
        (
            "[profile.prod.profile.x]\nlog = 1",
            &["kvd.toml:2:1", "profile.x.log"],
        ),
        ("[limits]\nvalue_bytes = \"17MiB\"", &["outside"]),
        ("loglevel = \"debug\"", &["loglevel", "telemetry.level"]),
    ];
    for (text, parts) in cases {
        let error = file(text).unwrap_err().to_string();
        for part in *parts {
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}

#[test]
fn a_listener_for_others_has_to_be_meant() {
    let error = with_flags(&[("server.listen", "0.0.0.0:7500")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("--allow-unauthenticated"), "{error}");
    assert!(error.contains("--set server.listen"), "{error}");
    with_flags(&[
        ("server.listen", "0.0.0.0:1"),
        ("server.allow_unauthenticated", "true"),
    ])
    .unwrap();
}

#[test]
fn a_key_given_twice_and_a_limit_too_small_are_refused() {
    let error = with_flags(&[("log.sync", "never"), ("log.sync", "always")]).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    let error = with_flags(&[("limits.value_bytes", "16MiB")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("limits.batch_bytes"), "{error}");
}

#[test]
fn one_look_finds_everything_that_is_wrong() {
    let text = "[log]\nsnyc = \"always\"\n  segment_bytes = 64\n[server]\nmax_streams = 0\n\
                [profile.dev.log]\nsync = \"maybe\"\n";
    let sources = |text: &str| with_file(text, None, &[("KVD_LOG__IO", "punched cards")]);
    let ConfigError(problems) = sources(text).unwrap_err();
    let found: Vec<_> = problems
        .iter()
        .map(|p| (p.origin.place().map(|at| (at.line, at.column)), &p.key[..]))
        .collect();
    let expected = [
        (Some((2, 1)), ""),
        (Some((3, 19)), "log.segment_bytes"),
        (Some((5, 15)), "server.max_streams"),
        (Some((7, 8)), "log.sync"),
        (None, "log.io"),
    ];
    for place in expected {
        assert!(found.contains(&place), "{place:?} is not in {found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{problems:?}");
    // Two mistakes in the syntax, and nothing that follows from them.
    let ConfigError(problems) = file("[log\nsync = \"always\"\n[store]\nx = = 1\n").unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn a_build_without_otlp_says_so() {
    let loaded = with_flags(&[("telemetry.otlp_endpoint", "http://127.0.0.1:4317")]);
    if cfg!(feature = "otlp") {
        loaded.unwrap();
        return;
    }
    let error = loaded.unwrap_err().to_string();
    for part in [
        "--set telemetry.otlp_endpoint",
        "without OTLP",
        "--features otlp",
    ] {
        assert!(error.contains(part), "{error}");
    }
    with_flags(&[
        ("telemetry.otlp_endpoint", ""),
        ("telemetry.otlp_sample", "1"),
    ])
    .unwrap();
}
