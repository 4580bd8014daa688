//! The daemon's figures over HTTP, which gRPC does not have: calls by name, the log,
//! CPU time.
//!
//! The daemon does not say over gRPC where it serves them. Without `--metrics` the port
//! after that of gRPC is tried, as the defaults of kvd are. Whoever answers there counts only
//! if it was started at the same moment as the server that was asked over gRPC.

use std::time::Duration;

use kvproto::v1::GetStatusResponse;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::endpoint::Endpoint;

/// More than any daemon has to say.
const LARGEST: u64 = 8 * 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(2);
/// Two clocks of one machine, read one after the other.
const SAME_START_MS: f64 = 2_000.0;
const DEFAULT: &str = "127.0.0.1:7501";

/// Where the figures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Off,
    At(String),
}

/// Reads `host:port` or `off`.
pub(crate) fn parse_place(text: &str) -> Result<Place, String> {
    if text == "off" {
        return Ok(Place::Off);
    }
    match text.parse::<Endpoint>()? {
        Endpoint::Tcp { .. } => Ok(Place::At(text.to_owned())),
        Endpoint::Unix(_) => Err(format!("{text:?}: the figures are served over TCP only")),
    }
}

/// Where they are if nobody says so.
pub(crate) fn beside(endpoint: &Endpoint) -> Place {
    match endpoint {
        Endpoint::Tcp { host, port } => match port.checked_add(1) {
            Some(port) => {
                let host = host.clone();
                Place::At(Endpoint::Tcp { host, port }.to_string())
            }
            None => Place::Off,
        },
        Endpoint::Unix(_) => Place::At(DEFAULT.to_owned()),
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// All figures of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics(Vec<Sample>);

impl Metrics {
    /// Asks for them.
    pub(crate) async fn fetch(place: &Place) -> Result<Self, String> {
        let Place::At(address) = place else {
            return Err("off".to_owned());
        };
        let text = timeout(LIMIT, get(address))
            .await
            .map_err(|_| format!("http://{address}/metrics: no answer within {LIMIT:?}"))?
            .map_err(|error| format!("http://{address}/metrics: {error}"))?;
        Self::parse(&text).ok_or_else(|| format!("http://{address}/metrics: no OpenMetrics"))
    }

    /// The same, if they are those of the server with this status.
    pub(crate) async fn of(place: &Place, status: &GetStatusResponse) -> Result<Self, String> {
        let metrics = Self::fetch(place).await?;
        if metrics.is_of(status) {
            return Ok(metrics);
        }
        let Place::At(address) = place else {
            return Ok(metrics);
        };
        Err(format!("{address} has the figures of another server"))
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a clock")]
    fn is_of(&self, status: &GetStatusResponse) -> bool {
        let started = (status.wall_time_ms - status.uptime_ms) as f64;
        self.get("process_start_time_seconds")
            .is_some_and(|seconds| (seconds * 1e3 - started).abs() < SAME_START_MS)
    }

    /// Reads the text format. None if it is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut samples = Vec::new();
        for line in text.lines() {
            if line == "# EOF" {
                return Some(Self(samples));
            }
            if !line.starts_with('#') {
                samples.push(sample(line)?);
            }
        }
        None
    }

    /// A figure without labels, or the sum of a family.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        let mut values = self
            .0
            .iter()
            .filter(|sample| sample.name == name)
            .peekable();
        values.peek()?;
        Some(values.map(|sample| sample.value).sum())
    }

    /// The sums of a family by one of its labels, in the order of the text; of all,
    /// or only of those with a code other than Ok.
    pub(crate) fn by(&self, name: &str, label: &str, failed: bool) -> Vec<(String, f64)> {
        let mut sums: Vec<(String, f64)> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.name == name) {
            if failed && sample.label("code").is_none_or(|code| code == "Ok") {
                continue;
            }
            let Some(value) = sample.label(label) else {
                continue;
            };
            match sums.iter_mut().find(|(known, _)| known == value) {
                Some((_, sum)) => *sum += sample.value,
                None => sums.push((value.to_owned(), sample.value)),
            }
        }
        sums
    }

    /// The buckets of a histogram for one label value: upper bound and count, both
    /// rising.
    pub(crate) fn buckets(&self, name: &str, label: &str, value: &str) -> Vec<(f64, f64)> {
        let bucket = format!("{name}_bucket");
        let mut sums: Vec<(f64, f64)> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.name == bucket) {
            if sample.label(label) != Some(value) {
                continue;
            }
            let Some(bound) = sample.label("le").and_then(number) else {
                continue;
            };
            match sums
                .iter_mut()
                .find(|(known, _)| known.total_cmp(&bound).is_eq())
            {
                Some((_, sum)) => *sum += sample.value,
                None => sums.push((bound, sample.value)),
            }
        }
        sums.sort_by(|a, b| a.0.total_cmp(&b.0));
        sums
    }
}

/// One line: a name, labels in braces, a value, and what may follow it.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = quoted_value(quoted)?;
            labels.push((label.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = number(rest.trim_start().split(' ').next()?)?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The text up to the closing quote, and what comes after it.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

/// One request over a connection of its own.
async fn get(address: &str) -> Result<String, String> {
    let io = |error: std::io::Error| error.to_string();
    let mut socket = TcpStream::connect(address).await.map_err(io)?;
    // 1.0: the body ends where the connection does.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.map_err(io)?;
    let mut reply = Vec::new();
    socket
        .take(LARGEST)
        .read_to_end(&mut reply)
        .await
        .map_err(io)?;
    let reply = String::from_utf8(reply).map_err(|_| "no text".to_owned())?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or("no HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(crate::text::show(status.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP kvd_requests Calls.
# TYPE kvd_requests counter
kvd_requests_total{rpc=\"Get\",code=\"Ok\"} 5
kvd_requests_total{rpc=\"Get\",code=\"Cancelled\"} 1
kvd_requests_total{rpc=\"Set\",code=\"Ok\"} 2 1520879607.789
odd{a=\"x\\\"},y\\n\",b=\"\"} -1.5e3
process_start_time_seconds 1000.5
kvd_request_seconds_bucket{rpc=\"Get\",le=\"+Inf\"} 9
kvd_request_seconds_bucket{rpc=\"Get\",le=\"0.001\"} 4
# EOF
";

    #[test]
    fn figures_are_read() {
        let metrics = Metrics::parse(TEXT).expect("OpenMetrics");
        assert_eq!(metrics.get("kvd_requests_total"), Some(8.0));
        assert_eq!(
            metrics.by("kvd_requests_total", "rpc", false),
            [("Get".to_owned(), 6.0), ("Set".to_owned(), 2.0)]
        );
        assert_eq!(
            metrics.by("kvd_requests_total", "rpc", true),
            [("Get".to_owned(), 1.0)]
        );
        assert_eq!(
            metrics.by("odd", "a", false),
            [("x\"},y\n".to_owned(), -1500.0)]
        );
        assert_eq!(
            metrics.buckets("kvd_request_seconds", "rpc", "Get"),
            [(0.001, 4.0), (f64::INFINITY, 9.0)]
        );
        assert_eq!(metrics.get("nothing"), None);
    }

    #[test]
    fn another_server_is_noticed() {
        let metrics = Metrics::parse(TEXT).expect("OpenMetrics");
        let status = |uptime_ms| GetStatusResponse {
            wall_time_ms: 1_010_000,
            uptime_ms,
            ..GetStatusResponse::default()
        };
        assert!(metrics.is_of(&status(9_500)));
        assert!(!metrics.is_of(&status(4_500)));
        assert!(!Metrics::default().is_of(&status(9_500)));
    }

    #[test]
    fn what_is_no_metrics_is_refused() {
        for text in [
            "",
            "kvd 1\n",
            "x\n# EOF\n",
            "x{\n# EOF\n",
            "x{a=\"\n# EOF\n",
            "x y\n# EOF\n",
        ] {
            assert_eq!(Metrics::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn places() {
        let at = |text: &str| Place::At(text.to_owned());
        let endpoint = |text: &str| text.parse::<Endpoint>().expect(text);
        assert_eq!(beside(&endpoint("127.0.0.1:7500")), at("127.0.0.1:7501"));
        assert_eq!(beside(&endpoint("[::1]:9")), at("[::1]:10"));
        assert_eq!(beside(&endpoint("h:65535")), Place::Off);
        assert_eq!(beside(&endpoint("unix:/x")), at("127.0.0.1:7501"));
        assert_eq!(parse_place("off"), Ok(Place::Off));
        assert!(parse_place("unix:/x").is_err() && parse_place("h").is_err());
    }
}
