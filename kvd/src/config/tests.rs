use std::path::Path;
use std::time::Duration;

use super::load::variable;
use super::value::{Io, Size, Sync, Value};
use super::*;

fn with_flags(flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    with(&[], flags)
}

fn with(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let flags = flags
        .iter()
        .map(|(key, value)| {
            let flag = format!("--set {key}={value}");
            ((*key).to_owned(), (*value).to_owned(), flag)
        })
        .collect();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    Sources {
        file: None,
        environment,
        flags,
    }
    .load()
}

fn file(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    file::apply_text(&mut config, Path::new("kvd.toml"), text)?;
    Ok(config)
}

#[test]
fn every_default_is_readable_within_range_and_shown_as_written() {
    let mut settings = Settings::default();
    for row in TABLE {
        row.set(&mut settings, row.default)
            .unwrap_or_else(|e| panic!("{}: {e}", row.key));
        assert_eq!(row.get(&settings), row.default, "{}", row.key);
        assert!(row.doc.ends_with('.'), "{} needs a sentence", row.key);
    }
}

#[test]
fn keys_are_unique_and_sectioned() {
    for (at, row) in TABLE.iter().enumerate() {
        assert_eq!(Setting::position(row.key), Some(at));
        assert_eq!(row.key.split('.').count(), 2, "{}", row.key);
    }
}

#[test]
fn later_sources_win_and_are_remembered() {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, "[log]\nsync = \"never\"\nio = \"pwrite\"\n").unwrap();
    let sources = Sources {
        file: Some(path.path().to_owned()),
        environment: vec![("KVD_LOG__SYNC".into(), "interval:250ms".into())],
        ..Sources::default()
    };
    let config = sources.load().unwrap().config;
    assert_eq!(
        config.settings.sync,
        Sync::Interval(Duration::from_millis(250))
    );
    assert_eq!(config.settings.log_io, Io::Pwrite);
    assert!(config.origin("log.io").to_string().ends_with(":3"));
    assert_eq!(
        config.origin("log.sync").to_string(),
        "environment KVD_LOG__SYNC"
    );
    assert_eq!(config.origin("log.segment_bytes"), &Origin::Default);
    let loaded = with(&[("KVD_LOG__SYNC", "never")], &[("log.sync", "always")]).unwrap();
    assert_eq!(loaded.config.settings.sync, Sync::Always);
    assert_eq!(
        loaded.config.origin("log.sync").to_string(),
        "--set log.sync=always"
    );
}

#[test]
fn sizes_and_durations() {
    for (text, bytes) in [
        ("64MiB", 64 << 20),
        ("1 GiB", 1 << 30),
        ("10MB", 10_000_000),
        ("7B", 7),
    ] {
        assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
    }
    for text in [
        "64",
        "",
        "MiB",
        "1.5MiB",
        "-1MiB",
        "64Mi",
        "99999999TiB",
        "1e3B",
    ] {
        assert!(Size::parse(text).is_err(), "{text}");
    }
    for (text, ms) in [
        ("250ms", 250),
        ("20s", 20_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
    ] {
        assert_eq!(
            Duration::parse(text),
            Ok(Duration::from_millis(ms)),
            "{text}"
        );
    }
    for text in ["250", "", "s", "1.5s", "-1s", "3d", "99999999999999999999s"] {
        assert!(Duration::parse(text).is_err(), "{text}");
    }
    for value in [0, 1, 1023, 1024, 3584 << 10, 1 << 40] {
        assert_eq!(Size::parse(&Size(value).show()), Ok(Size(value)));
        let time = Duration::from_millis(value);
        assert_eq!(Duration::parse(&time.show()), Ok(time));
    }
}

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
        ("[server]\nmax_streams = 1.5", &["kvd.toml:2", "float"]),
        ("[server]\nruntimes = 0", &["server.runtimes"]),
        (
            "[server]\nlisten = \"unix:/run/kvd\"",
            &["unix:/run/kvd", "not built yet"],
        ),
        ("[server]\nlisten = []", &["server.listen"]),
        ("[store\n", &["kvd.toml:1"]),
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
fn lists_come_as_arrays_or_with_commas() {
    let config = file("[server]\nlisten = [\"127.0.0.1:1\", \"[::1]:2\"]").unwrap();
    assert_eq!(config.settings.listen.show(), "127.0.0.1:1,[::1]:2");
    let loaded = with_flags(&[("server.listen", "127.0.0.1:1, [::1]:2")]).unwrap();
    assert_eq!(loaded.config.settings.listen, config.settings.listen);
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
fn an_unknown_variable_is_a_warning() {
    let loaded = with(&[("KVD_LOG__SINC", "never"), ("PATH", "/bin")], &[]).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0].contains("KVD_LOG__SYNC"),
        "{:?}",
        loaded.warnings
    );
    assert_eq!(variable("memory.max_bytes"), "KVD_MEMORY__MAX_BYTES");
}
