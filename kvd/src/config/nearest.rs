//! The setting that a misspelt key most likely meant.

use super::TABLE;

/// The key with the fewest single-character changes from `wrong`.
pub(super) fn key(wrong: &str) -> &'static str {
    let distance = |key: &str| {
        // The last part counts as well: people forget or mistake the section.
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        edits(wrong, key).min(edits(&last(wrong), &last(key)) + 1)
    };
    TABLE
        .iter()
        .map(|row| row.key)
        .min_by_key(|key| distance(key))
        .unwrap_or_default()
}

/// Insertions, deletions and replacements from `a` to `b`. Input longer than any
/// key is cut, so that a hostile key costs nothing.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let mut previous: Vec<usize> = (0..=a.len()).collect();
    for (row, from_b) in b.chars().enumerate() {
        let mut current = vec![row + 1];
        for (i, from_a) in a.iter().enumerate() {
            let replaced = previous[i] + usize::from(*from_a != from_b);
            current.push(replaced.min(previous[i + 1] + 1).min(current[i] + 1));
        }
        previous = current;
    }
    previous.last().copied().unwrap_or_default()
}
