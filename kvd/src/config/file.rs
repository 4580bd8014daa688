//! The TOML file: every leaf as dotted key, text and line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, Origin};

/// Reads the file at `path` into `config`.
pub(super) fn apply(config: &mut Config, path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError(format!("cannot read {}: {e}", path.display())))?;
    apply_text(config, path, &text)
}

pub(super) fn apply_text(config: &mut Config, path: &Path, text: &str) -> Result<(), ConfigError> {
    let document = DeTable::parse(text).map_err(|e| {
        let line = line_of(text, e.span().map_or(0, |span| span.start));
        ConfigError(format!("{}:{line}: {}", path.display(), e.message()))
    })?;
    let mut walk = Walk { config, path, text };
    walk.table("", document.get_ref())
}

struct Walk<'a> {
    config: &'a mut Config,
    path: &'a Path,
    text: &'a str,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let origin = Origin::File {
                path: self.path.to_owned(),
                line: line_of(self.text, name.span().start),
            };
            match value.get_ref() {
                DeValue::Table(inner) => self.table(&key, inner)?,
                leaf => {
                    let text = leaf_text(leaf)
                        .map_err(|kind| ConfigError(format!("{origin}: {key}: {kind}")))?;
                    self.config.set(&key, &text, origin)?;
                }
            }
        }
        Ok(())
    }
}

/// What the leaf would be called on the command line.
fn leaf_text(leaf: &DeValue<'_>) -> Result<String, String> {
    match leaf {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Array(items) => {
            let texts: Result<Vec<_>, _> = items
                .iter()
                .map(|item: &Spanned<DeValue<'_>>| leaf_text(item.get_ref()))
                .collect();
            Ok(texts?.join(","))
        }
        other => Err(format!("a {} is no value for a setting", other.type_str())),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|byte| *byte == b'\n').count()
}
