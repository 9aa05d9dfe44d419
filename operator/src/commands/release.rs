//! `azwib-operator release`: leaves everything as it is and running, without azwib.
//!
//! It takes azwib's finalizer off the bindings, and the bindings off the owners of their ServiceAccounts. After that the bindings, their
//! CustomResourceDefinition and the operator can be deleted: the accounts keep their annotations, and Azure keeps the credentials. It runs
//! while no operator does, which would put all of it back.
//!
//! Each object is written at the version that was read. Whatever was done before the command ended early stays done; it can be run again.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use clap::{ArgAction, Args};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::time::sleep;

use crate::binding::finalizer::{self, FINALIZER};
use crate::error_chain;

/// Objects on a page. They are metadata only.
const PAGE: u32 = 500;

/// How often one object is read again that somebody else has changed meanwhile.
const TRIES: u32 = 5;

/// What is released.
#[derive(Debug, Clone, Args)]
pub struct Release {
    /// All bindings of the cluster
    #[arg(long, required = true, action = ArgAction::SetTrue)]
    pub all: bool,

    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Why not everything is released.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot tell how to reach the API server: run in a cluster or set KUBECONFIG")]
    Client(#[source] kube::Error),
    #[error("cannot list {what}")]
    List {
        what: &'static str,
        source: kube::Error,
    },
    #[error(
        "an operator is running: {holder} holds the Lease {namespace}/{name}, and would put back what this command takes off. Scale it to \
         zero first: kubectl scale deployment azwib-operator --namespace={namespace} --replicas=0"
    )]
    Running {
        holder: String,
        namespace: String,
        name: String,
    },
    #[error("cannot write what was done")]
    Output(#[from] std::io::Error),
    #[error(
        "{failed} of {all} objects are not released; what stopped them is above. Run the command again once that is mended"
    )]
    Some { failed: usize, all: usize },
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    pub bindings: usize,
    pub accounts: usize,
}

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bindings without the finalizer, {} ServiceAccounts without their owners",
            self.bindings, self.accounts
        )
    }
}

/// Releases what the arguments name in the cluster that KUBECONFIG names, and prints a line for each object. Whoever runs it needs the verbs
/// `patch` and `detach` on bindings, and `patch` on ServiceAccounts: config/admission keeps the operator itself from it.
///
/// # Errors
/// As for [`release`], and where there is no cluster.
pub async fn run(arguments: &Release) -> Result<Released, Error> {
    // Not the operator's client, which cuts long lists: these are written back whole.
    let client = Client::try_default().await.map_err(Error::Client)?;
    release(arguments, &client, &mut std::io::stdout()).await
}

/// Releases what the arguments name, and writes a line for each object to `out`.
///
/// # Errors
/// An operator is running, the API server gives no list, or some objects cannot be written.
pub async fn release(
    arguments: &Release,
    client: &Client,
    out: &mut impl Write,
) -> Result<Released, Error> {
    nobody_leads(client).await?;
    let bindings: Vec<_> = metadata_of::<azwib_crds::WorkloadIdentityBinding>(client, "bindings")
        .await?
        .into_iter()
        .filter(finalizer::is_on)
        .collect();
    let accounts: Vec<_> = metadata_of::<ServiceAccount>(client, "ServiceAccounts")
        .await?
        .into_iter()
        .filter(|account| without_bindings(account).is_some())
        .collect();
    // The owners first: a binding that is being deleted goes with its finalizer, and the garbage collector takes its account along.
    let mut work = Work {
        client,
        out,
        dry_run: arguments.dry_run,
        failed: 0,
    };
    for account in &accounts {
        work.account(account).await?;
    }
    for binding in &bindings {
        work.binding(binding).await?;
    }
    let (failed, all) = (work.failed, accounts.len() + bindings.len());
    if failed > 0 {
        return Err(Error::Some { failed, all });
    }
    Ok(Released {
        bindings: bindings.len(),
        accounts: accounts.len(),
    })
}

struct Work<'a, W> {
    client: &'a Client,
    out: &'a mut W,
    dry_run: bool,
    failed: usize,
}

impl<W: Write> Work<'_, W> {
    async fn account(&mut self, account: &ObjectMeta) -> Result<(), Error> {
        let done = match self.dry_run {
            true => Ok(()),
            false => release_account(self.client, account).await,
        };
        let what = "no binding is its owner any more";
        self.say("serviceaccount", account, what, done)
    }

    async fn binding(&mut self, binding: &ObjectMeta) -> Result<(), Error> {
        let done = match self.dry_run {
            true => Ok(()),
            false => release_binding(self.client, binding).await,
        };
        let what = format!("the finalizer {FINALIZER} is off");
        self.say("workloadidentitybinding", binding, &what, done)
    }

    fn say(
        &mut self,
        kind: &str,
        object: &ObjectMeta,
        what: &str,
        done: Result<(), kube::Error>,
    ) -> Result<(), Error> {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let name = object.name.as_deref().unwrap_or_default();
        let dry_run = if self.dry_run { " (dry run)" } else { "" };
        match done {
            Ok(()) => writeln!(self.out, "{kind} {namespace}/{name}: {what}{dry_run}")?,
            Err(error) => {
                self.failed += 1;
                let why = match error {
                    kube::Error::Api(answer) => answer.message,
                    error => error_chain(&error),
                };
                writeln!(self.out, "{kind} {namespace}/{name}: FAILED: {why}")?;
            }
        }
        Ok(())
    }
}

/// Takes the bindings off the owners of an account.
async fn release_account(client: &Client, account: &ObjectMeta) -> Result<(), kube::Error> {
    let namespace = account.namespace.as_deref().unwrap_or_default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    at_its_version(account, &accounts, |now| {
        Some(json!({ "metadata": {
            "resourceVersion": now.resource_version, "ownerReferences": without_bindings(now)?,
        } }))
    })
    .await
}

/// Takes azwib's finalizer off a binding.
async fn release_binding(client: &Client, binding: &ObjectMeta) -> Result<(), kube::Error> {
    let namespace = binding.namespace.as_deref().unwrap_or_default();
    let bindings: Api<azwib_crds::WorkloadIdentityBinding> =
        Api::namespaced(client.clone(), namespace);
    at_its_version(binding, &bindings, |now| {
        let others: Vec<_> = finalizer::others(now).collect();
        finalizer::is_on(now).then(|| {
            json!({ "metadata": { "resourceVersion": now.resource_version, "finalizers": others } })
        })
    })
    .await
}

/// Writes a patch of an object as it was read; where somebody was faster, of the object as it is then. One that is gone needs none.
async fn at_its_version<K>(
    object: &ObjectMeta,
    objects: &Api<K>,
    patch: impl Fn(&ObjectMeta) -> Option<serde_json::Value>,
) -> Result<(), kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut now = object.clone();
    let name = object.name.as_deref().unwrap_or_default();
    let mut tries = 0;
    loop {
        let Some(patch) = patch(&now) else {
            return Ok(());
        };
        tries += 1;
        let parameters = PatchParams::default();
        let written = objects
            .patch_metadata(name, &parameters, &Patch::Merge(patch))
            .await;
        match written {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(()),
            Err(kube::Error::Api(answer)) if answer.code == 409 && tries < TRIES => {}
            Err(error) => return Err(error),
        }
        match objects.get_metadata_opt(name).await? {
            Some(read) => now = read.metadata,
            None => return Ok(()),
        }
    }
}

/// The owners of an account but for bindings; None where no binding is among them.
fn without_bindings(account: &ObjectMeta) -> Option<Vec<OwnerReference>> {
    let owners = account.owner_references.as_ref()?;
    let is_binding = |owner: &OwnerReference| {
        owner.kind == "WorkloadIdentityBinding" && owner.api_version.starts_with("azwib.dev/")
    };
    let others: Vec<_> = owners
        .iter()
        .filter(|it| !is_binding(it))
        .cloned()
        .collect();
    (others.len() < owners.len()).then_some(others)
}

async fn metadata_of<K>(client: &Client, what: &'static str) -> Result<Vec<ObjectMeta>, Error>
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let objects: Api<K> = Api::all(client.clone());
    let mut pages = ListParams::default().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = objects.list_metadata(&pages).await;
        let page = page.map_err(|source| Error::List { what, source })?;
        let items: Vec<PartialObjectMeta<K>> = page.items;
        all.extend(items.into_iter().map(|it| it.metadata));
        match page.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => pages = pages.continue_token(&more),
            None => return Ok(all),
        }
    }
}

/// Makes sure that no operator is running: each Lease of azwib's was given back, or stands as it is for as long as it lasts.
async fn nobody_leads(client: &Client) -> Result<(), Error> {
    let held = leases(client).await?;
    let lasts = held.iter().map(lasts).max();
    let Some(lasts) = lasts else { return Ok(()) };
    sleep(lasts).await;
    let before: BTreeSet<_> = held
        .iter()
        .map(|it| (it.uid(), it.resource_version()))
        .collect();
    let renewed = leases(client).await?.into_iter();
    let mut renewed = renewed.filter(|it| !before.contains(&(it.uid(), it.resource_version())));
    match renewed.next() {
        Some(lease) => Err(Error::Running {
            holder: holder(&lease).unwrap_or_default().to_owned(),
            namespace: lease.namespace().unwrap_or_default(),
            name: lease.name_any(),
        }),
        None => Ok(()),
    }
}

/// How long a Lease stands after it was renewed last.
fn lasts(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|it| it.lease_duration_seconds);
    let seconds = seconds.and_then(|it| u64::try_from(it).ok());
    Duration::from_secs(seconds.unwrap_or(15).min(60))
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    Some(holder).filter(|it| !it.is_empty())
}

/// The Leases of azwib's that somebody holds, in whatever namespace.
async fn leases(client: &Client) -> Result<Vec<Lease>, Error> {
    let leases: Api<Lease> = Api::all(client.clone());
    let of_azwib = format!("metadata.name={}", crate::run::LEASE);
    let listed = leases.list(&ListParams::default().fields(&of_azwib)).await;
    let what = "the Leases of azwib, which say whether an operator is running";
    let listed = listed.map_err(|source| Error::List { what, source })?;
    let held = listed.items.into_iter().filter(|it| holder(it).is_some());
    Ok(held.collect())
}

#[cfg(test)]
mod tests;
