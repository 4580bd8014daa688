//! File, profile, environment and flags: which of them wins, and that it is remembered.

use std::time::Duration;

use super::super::load::variable;
use super::super::value::{Io, Size, Sync};
use super::super::*;
use super::{with, with_file, with_flags};

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
