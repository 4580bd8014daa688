use std::path::Path;
use std::time::Duration;

use super::load::variable;
use super::value::{Io, Ratio, Size, Sync, Value};
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
        environment,
        flags,
        ..Sources::default()
    }
    .load()
}

fn file(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let mut problems = Vec::new();
    file::apply(
        &mut config,
        Path::new("kvd.toml"),
        text,
        None,
        &mut problems,
    );
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError(problems))
    }
}

/// A file that is really there, and what else there is.
fn with_file(
    text: &str,
    profile: Option<&str>,
    environment: &[(&str, &str)],
) -> Result<Loaded, ConfigError> {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, text).unwrap();
    let environment = environment.iter();
    Sources {
        file: Some(path.path().to_owned()),
        profile: profile.map(str::to_owned),
        environment: environment
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
        flags: Vec::new(),
    }
    .load()
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
fn a_profile_goes_over_the_common_part_and_under_the_environment() {
    let text = "[profile.prod.log]\nsync = \"never\"\nio = \"pwrite\"\n[profile.dev]\n\
                log.sync = \"interval:1s\"\n[log]\nsync = \"always\"\nsegment_bytes = \"32MiB\"\n";
    let common = with_file(text, None, &[("KVD_PROFILE", "")]).unwrap();
    assert_eq!(common.config.settings.sync, Sync::Always);
    assert_eq!(common.profiles.iter().collect::<Vec<_>>(), ["dev", "prod"]);
    assert!(common.warnings.is_empty(), "{:?}", common.warnings);

    let prod = with_file(text, None, &[("KVD_PROFILE", "prod")]).unwrap();
    assert_eq!(prod.config.settings.sync, Sync::Never);
    assert_eq!(prod.config.settings.segment_bytes, Size(32 << 20));
    let origin = prod.config.origin("log.sync").to_string();
    assert!(
        origin.starts_with("profile prod, ") && origin.ends_with(":2"),
        "{origin}"
    );
    let origin = prod.config.origin("log.segment_bytes").to_string();
    assert!(
        !origin.contains("profile") && origin.ends_with(":8"),
        "{origin}"
    );

    let environment = [("KVD_PROFILE", "prod"), ("KVD_LOG__IO", "mmap")];
    let dev = with_file(text, Some("dev"), &environment).unwrap();
    assert_eq!(
        dev.config.settings.sync,
        Sync::Interval(Duration::from_secs(1))
    );
    assert_eq!(dev.config.settings.log_io, Io::Mmap);
    assert_eq!(dev.profile.as_deref(), Some("dev"));
}

#[test]
fn a_profile_that_is_not_there_is_named_with_those_that_are() {
    let text = "[profile.prod]\n[profile.dev]\n";
    let error = with_file(text, Some("dve"), &[]).unwrap_err().to_string();
    for part in ["--profile dve", "\"dve\"", "dev, prod"] {
        assert!(error.contains(part), "{error}");
    }
    let error = with_file("", None, &[("KVD_PROFILE", "x")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("KVD_PROFILE") && error.contains("has no profiles"),
        "{error}"
    );
    let error = with(&[("KVD_PROFILE", "x")], &[]).unwrap_err().to_string();
    assert!(error.contains("--config"), "{error}");
}

#[test]
fn the_sample_is_the_defaults_with_and_without_its_comments() {
    let sample = document::sample(&[]);
    let of = |config: &Config| {
        config
            .entries()
            .map(|(_, value, _)| value)
            .collect::<Vec<_>>()
    };
    let defaults = of(&Config::default());
    assert_eq!(of(&file(&sample).unwrap()), defaults);
    let active: Vec<&str> = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') && !setting.is_empty() => setting,
            _ => line,
        })
        .collect();
    let config = file(&active.join("\n")).unwrap();
    assert_eq!(of(&config), defaults);
    for (row, _, origin) in config.entries() {
        assert_ne!(origin, &Origin::Default, "{} is not in the sample", row.key);
        assert!(sample.lines().all(|line| line.len() <= 100));
    }
}

/// `BLESS=1 cargo test -p kvd --lib as_they_would_be_written` writes them.
#[test]
fn files_that_come_out_of_the_table_are_as_they_would_be_written() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let service = [("store.data_dir", "/var/lib/kvd")];
    for (path, text) in [
        ("../docs/operations/configuration.md", document::page()),
        ("systemd/kvd.toml", document::sample(&service)),
    ] {
        let path = here.join(path);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "{} is not what the table says",
            path.display()
        );
    }
}

#[test]
fn what_is_adopted_brings_its_origin() {
    let from = with_flags(&[("log.sync", "interval:3s"), ("memory.max_bytes", "1GiB")]).unwrap();
    let mut to = Config::default();
    for row in TABLE {
        to.adopt(row, &from.config);
    }
    for ((row, value, origin), (_, adopted, adopted_origin)) in
        from.config.entries().zip(to.entries())
    {
        assert_eq!((&value, origin), (&adopted, adopted_origin), "{}", row.key);
    }
}

#[test]
fn collectors_are_named_by_host_and_port() {
    for text in ["", "off", " off "] {
        assert_eq!(Collector::parse(text).map(|c| c.show()), Ok("off".into()));
    }
    for (text, shown) in [
        ("http://127.0.0.1:4317", "http://127.0.0.1:4317"),
        (
            "http://otel-collector.local:1/",
            "http://otel-collector.local:1",
        ),
        (" http://[::1]:4317", "http://[::1]:4317"),
    ] {
        let parsed = Collector::parse(text).unwrap();
        assert!(parsed.is_some());
        assert_eq!(parsed.show(), shown);
        assert_eq!(Collector::parse(shown), Ok(parsed));
    }
    for (text, part) in [
        ("https://x:4317", "no TLS"),
        ("http://me:pass@x:4317", "password has no place"),
        ("127.0.0.1:4317", "does not begin with http://"),
        ("grpc://x:4317", "does not begin with http://"),
        ("http://x", "no port"),
        ("http://:4317", "no port"),
        ("http://::1:4317", "no port"),
        ("http://x:0", "1 to 65535"),
        ("http://x:65536", "1 to 65535"),
        ("http://x:4317/v1/traces", "1 to 65535"),
        ("http://x y:4317", "no host"),
        ("http://[::1:4317", "no"),
        ("http://[x]:4317", "no host"),
        ("http://a..b:4317", "no host"),
        ("http://a/b:4317", "no host"),
    ] {
        let error = Collector::parse(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
        assert!(!error.contains("pass@"), "{error}");
    }
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

#[test]
fn ratios_are_fractions() {
    let config = file("[telemetry]\notlp_sample = 0.25").unwrap();
    assert_eq!(config.settings.otlp_sample, Ratio(0.25));
    for (text, part) in [
        ("otlp_sample = 1.5", "1.5 is outside 0 to 1"),
        ("otlp_sample = -0.1", "-0.1 is outside 0 to 1"),
        ("otlp_sample = nan", "not a ratio"),
        ("otlp_sample = inf", "not a ratio"),
        ("otlp_sample = \"1%\"", "not a ratio"),
        ("otlp_sample = \"\"", "not a ratio"),
    ] {
        let error = file(&format!("[telemetry]\n{text}"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
