//! What is there once a story is over, in Azure and in the cluster, without the names and times that differ from case to
//! case.

use azwib_e2e::environment::arm::Arm;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Map, Value, json};

use crate::stage::Case;

/// As text, which a failed comparison shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndState(String);

impl EndState {
    /// Reads all of it.
    pub(crate) async fn of(case: &Case, arm: &Arm) -> anyhow::Result<Self> {
        let shop = &case.shop;
        let binding = shop.bindings().get_opt("orders").await?;
        let accounts = shop.service_accounts().list(&ListParams::default()).await?;
        let credentials = arm.credentials(case.orders.resource_id()).await?;
        let bound = binding.is_some();
        let accounts = accounts
            .iter()
            .filter(|account| !is_garbage(account, bound))
            .map(|account| (account.name_any(), metadata(account)));
        let mut state = json!({
            "credentials": credentials.iter().map(|it| json!({
                "name": it.name,
                "issuer": it.properties.issuer,
                "subject": it.properties.subject,
                "audiences": it.properties.audiences,
            })).collect::<Vec<_>>(),
            "accounts": accounts.collect::<Map<_, _>>(),
            "binding": binding.map(|binding| json!({
                "finalizers": binding.finalizers(),
                "status": binding.status,
            })),
        });
        forget_times(&mut state);
        let ids = &case.orders.ids;
        // The name of the credential comes first: it begins with the namespace.
        let text = serde_json::to_string_pretty(&state)?
            .replace(&shop.credential_name("orders")?, "<credential>")
            .replace(shop.name(), "<namespace>")
            .replace(&ids.client_id.to_string(), "<client id>")
            .replace(&ids.principal_id.to_string(), "<principal id>");
        Ok(Self(text))
    }

    /// The lines in which another state differs from this one.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let lines = |state: &Self| state.0.lines().map(str::to_owned).collect::<Vec<_>>();
        let (mine, others) = (lines(self), lines(other));
        let missing = mine.iter().filter(|line| !others.contains(line));
        let added = others.iter().filter(|line| !mine.contains(line));
        let missing = missing.map(|line| format!("-{line}"));
        let added = added.map(|line| format!("+{line}"));
        missing.chain(added).collect::<Vec<_>>().join("\n")
    }
}

/// An account whose owner is gone is the garbage collector's.
fn is_garbage(account: &ServiceAccount, bound: bool) -> bool {
    !bound && !account.owner_references().is_empty()
}

fn metadata(account: &ServiceAccount) -> Value {
    let owners = account.owner_references().iter().map(|owner| &owner.name);
    json!({
        "annotations": account.annotations(),
        "labels": account.labels(),
        "owners": owners.collect::<Vec<_>>(),
    })
}

/// Times, and what depends on them.
fn forget_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("lastTransitionTime");
            fields.values_mut().for_each(forget_times);
            // The order of conditions tells which came first.
            if let Some(Value::Array(conditions)) = fields.get_mut("conditions") {
                conditions.sort_by_key(|condition| condition["type"].to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget_times),
        _ => {}
    }
}
