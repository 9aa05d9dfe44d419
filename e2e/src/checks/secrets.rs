//! A search of logs for secrets.

use std::collections::BTreeSet;

/// Shorter pieces stand in a log by chance: the `e30` of an empty JSON object is one.
const LEAST_PIECE: usize = 16;

/// What stands in no log: each secret, and of a JSON Web Token each of its segments.
#[derive(Debug, Clone)]
pub struct SecretSearch {
    pieces: BTreeSet<String>,
}

impl SecretSearch {
    /// A search for these secrets.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let pieces = secrets.into_iter().flat_map(|secret| secret.split('.'));
        Self {
            pieces: pieces
                .filter(|piece| piece.len() >= LEAST_PIECE)
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Whether it searches for nothing, and so can find nothing.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Where the log has one: the line, and how the piece begins.
    pub fn findings(&self, log: &str) -> Vec<String> {
        let found = self
            .pieces
            .iter()
            .filter_map(|piece| Some((log.find(piece.as_str())?, piece)));
        found
            .map(|(position, piece)| {
                let line = log[..position].lines().count().max(1);
                let beginning: String = piece.chars().take(8).collect();
                format!("line {line}: {beginning}…")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str =
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJvcmRlcnMifQ.c2lnbmF0dXJlIG9mIHRoZSB0b2tlbg";

    #[test]
    fn every_segment_of_a_token_is_found_wherever_it_stands() {
        let search = SecretSearch::of([TOKEN]);
        for segment in TOKEN.split('.') {
            let log = format!("one line\nDEBUG authorization=Bearer {segment}x\n");
            assert_eq!(
                search.findings(&log),
                [format!("line 2: {}…", &segment[..8])]
            );
        }
        assert!(search.findings("DEBUG authorization=Bearer …").is_empty());
    }

    #[test]
    fn a_secret_without_segments_is_found_as_a_whole() {
        let search = SecretSearch::of(["a-client-secret-of-azure"]);
        assert_eq!(
            search.findings("a-client-secret-of-azure"),
            ["line 1: a-client…"]
        );
        assert!(search.findings("a-client-secret").is_empty());
    }

    #[test]
    fn what_is_too_short_to_mean_anything_is_not_searched_for() {
        assert!(SecretSearch::of(["e30.e30.short"]).is_empty());
        assert!(SecretSearch::of([]).is_empty());
        assert!(!SecretSearch::of([TOKEN]).is_empty());
    }
}
