//! The table of settings, and the files that are written from it.

use std::path::Path;

use super::super::*;
use super::file;

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
