//! The order of resourceVersions.

/// Where a version stands among those of the cluster: they are whole numbers that grow, which Kubernetes 1.35 promises
/// (KEP-5504) and the API server has always done. None for any other text: nobody can say what comes first.
pub fn order(version: &str) -> Option<u64> {
    version.parse().ok()
}
