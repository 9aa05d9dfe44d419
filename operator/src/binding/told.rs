//! Remembers what was logged or published about an object, so that a repeated pass says it only once.

use crate::runtime::lock::lock;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

/// What was told, by UID.
#[derive(Debug, Default)]
pub struct Told(Mutex<HashMap<String, BTreeSet<String>>>);

impl Told {
    /// Whether this was not told of the object with this UID yet; from now on it was.
    pub fn is_news(&self, uid: &str, what: &str) -> bool {
        let mut told = lock(&self.0);
        let of_object = told.entry(uid.to_owned()).or_default();
        of_object.insert(what.to_owned())
    }

    /// Forgets all objects but these.
    pub fn retain(&self, uids: &HashSet<String>) {
        let mut told = lock(&self.0);
        told.retain(|uid, _| uids.contains(uid));
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        let mut told = lock(&self.0);
        told.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_news_once_for_each_object() {
        let told = Told::default();
        for (uid, what, is_news) in [
            ("a", "left", true),
            ("a", "left", false),
            ("a", "stays", true),
            ("b", "left", true),
        ] {
            assert_eq!(told.is_news(uid, what), is_news, "{uid} {what}");
        }
        told.forget("a");
        assert!(told.is_news("a", "left"));
        told.retain(&["a".to_owned()].into());
        assert!(!told.is_news("a", "left"));
        assert!(told.is_news("b", "left"));
    }
}
