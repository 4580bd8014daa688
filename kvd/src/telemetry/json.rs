//! Log lines as JSON, one object a line: `timestamp`, `level`, `target`, `message`, then
//! what else was said, under `fields` so that it cannot be taken for one of these.

use std::io::Write;
use std::time::SystemTime;

use serde_json::{Map, Value as Json, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::line::{Line, Value};

/// Writes to what `make` makes, a line at a time.
pub(super) struct JsonLines<M> {
    make: M,
}

impl<M> JsonLines<M> {
    pub(super) fn new(make: M) -> Self {
        Self { make }
    }
}

impl<S: Subscriber, W: Write, M: Fn() -> W + 'static> Layer<S> for JsonLines<M> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = object(&Line::of(event), SystemTime::now()).to_string();
        text.push('\n');
        // One write, so that lines of several threads do not mix. If nobody can be told,
        // nobody can be told that.
        let _ = (self.make)().write_all(text.as_bytes());
    }
}

fn object(line: &Line, now: SystemTime) -> Json {
    let mut object = json!({
        "timestamp": humantime::format_rfc3339_micros(now).to_string(),
        "level": line.level.as_str(),
        "target": line.target,
        "message": line.message,
    });
    if !line.fields.is_empty() {
        let fields = line.fields.iter();
        let fields: Map<String, Json> = fields
            .map(|(name, value)| ((*name).to_owned(), value_of(value)))
            .collect();
        object["fields"] = fields.into();
    }
    object
}

fn value_of(value: &Value) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Signed(number) => (*number).into(),
        Value::Unsigned(number) => (*number).into(),
        // Infinite ones have no place in JSON.
        Value::Float(number) if !number.is_finite() => number.to_string().into(),
        Value::Float(number) => (*number).into(),
        Value::Bool(truth) => (*truth).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_object_whatever_it_says() {
        let sink = Sink::default();
        let to = sink.clone();
        let layer = JsonLines::new(move || to.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let error = std::io::Error::other("two\n\"lines\"");
            let huge = "ä".repeat(20_000);
            tracing::warn!(%error, count = 7_u64, down = -1, half = 0.5, on = true, "it\n{}", 1);
            tracing::error!(huge, level = "mine", odd = f64::NAN, "big");
        });
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<Json> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        let first = &lines[0];
        assert_eq!(first["level"], "WARN");
        assert_eq!(first["message"], "it\n1");
        assert_eq!(first["target"], module_path!());
        let fields = json!({
            "error": "two\n\"lines\"", "count": 7, "down": -1, "half": 0.5, "on": true,
        });
        assert_eq!(first["fields"], fields);
        let time = first["timestamp"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        assert_eq!(lines[1]["level"], "ERROR");
        assert_eq!(lines[1]["fields"]["level"], "mine");
        let huge = lines[1]["fields"]["huge"].as_str().unwrap();
        assert!(huge.len() < 17_000 && huge.ends_with("ä..."));
    }
}
