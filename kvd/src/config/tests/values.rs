//! How values are written: sizes and durations, lists, fractions, collectors.

use std::time::Duration;

use super::super::value::{Ratio, Size, Value as _};
use super::super::*;
use super::{file, with_flags};

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
fn lists_come_as_arrays_or_with_commas() {
    let config = file("[server]\nlisten = [\"127.0.0.1:1\", \"[::1]:2\"]").unwrap();
    assert_eq!(config.settings.listen.show(), "127.0.0.1:1,[::1]:2");
    let loaded = with_flags(&[("server.listen", "127.0.0.1:1, [::1]:2")]).unwrap();
    assert_eq!(loaded.config.settings.listen, config.settings.listen);
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
