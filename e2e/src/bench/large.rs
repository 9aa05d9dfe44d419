//! What a cluster holds besides the bindings of a case: objects as large as can be.

use super::setup::Setup;
use crate::environment::large;

/// The namespace of the large objects: the first of a case.
const NAMESPACE: &str = "bench-0";

/// Makes as many large ServiceAccounts as large bindings. The bindings name an identity that does not exist: what they ask of
/// Azure is not what is measured.
pub(super) async fn fill(setup: &Setup, count: usize) -> anyhow::Result<()> {
    let client = setup.environment.client().await?;
    let subscription = setup.environment.simulator.subscription();
    let identity = format!(
        "/subscriptions/{subscription}/resourceGroups/rg-bench/providers/Microsoft.ManagedIdentity/\
         userAssignedIdentities/nobody"
    );
    large::make_accounts(&client, NAMESPACE, "large", count).await?;
    large::make_bindings(&client, NAMESPACE, "large", &identity, count).await
}
