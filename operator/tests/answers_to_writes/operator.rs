//! The operator over such an API server and an Azure in which all is well: its own passes, on tokio's clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azwib_crds::{
    ClientId, CredentialName, Guid, Issuer, ManagedIdentityId, Subject, WorkloadIdentityBinding,
};
use azwib_operator::azure::{
    AzureError, CredentialContent, CredentialPage, CredentialPages, Deleted, Identity,
    IdentityService, ListedCredential, Put,
};
use azwib_operator::binding::controller::Watches;
use azwib_operator::binding::controller::passes::Queue;
use azwib_operator::binding::events::Events;
use azwib_operator::binding::validate::Defaults;
use azwib_operator::binding::{Operator, Settings, reconcile};
use azwib_operator::grant::{Authority, Mode};
use azwib_operator::kubeutil::watch_course::WatchCourse;
use azwib_operator::ledger::{LedgerSettings, Ledgers};
use azwib_operator::runtime::clock::Clock;
use futures::{FutureExt, StreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::api_server::ApiServer;

pub(crate) const ISSUER: &str = "https://oidc.example/";
pub(crate) const CLIENT: &str = "11111111-1111-4111-8111-111111111111";

/// How long the operator is looked at: longer than it takes to stall.
const LOOKED_AT: Duration = Duration::from_secs(200);

struct AllIsWell;

#[async_trait]
impl IdentityService for AllIsWell {
    async fn get_identity(&self, id: &ManagedIdentityId) -> Result<Identity, AzureError> {
        Ok(Identity {
            id: id.clone(),
            client_id: ClientId::parse(CLIENT).expect("valid"),
            principal_id: Guid::parse(CLIENT).expect("valid"),
            tenant_id: Guid::parse(CLIENT).expect("valid"),
        })
    }

    fn list_credentials<'a>(&'a self, _: &ManagedIdentityId) -> CredentialPages<'a> {
        let issuer = Issuer::parse(ISSUER).expect("valid");
        let credential = ListedCredential {
            name: CredentialName::derive(&issuer, "shop", "orders").to_string(),
            content: Some(CredentialContent {
                issuer: ISSUER.to_owned(),
                subject: Subject::of_service_account("shop", "orders").to_string(),
                audiences: vec!["api://AzureADTokenExchange".to_owned()],
            }),
        };
        let page = CredentialPage {
            credentials: vec![credential],
            has_next: false,
        };
        stream::iter([Ok(page)]).boxed()
    }

    async fn get_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
    ) -> Result<Option<ListedCredential>, AzureError> {
        Ok(None)
    }

    async fn put_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
        _: &CredentialContent,
    ) -> Result<Put, AzureError> {
        Ok(Put::Created)
    }

    async fn delete_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
    ) -> Result<Deleted, AzureError> {
        Ok(Deleted::Deleted)
    }
}

fn operator(server: &ApiServer) -> (Arc<Operator>, Queue, watch::Sender<Defaults>) {
    let client = server.client();
    let defaults = Defaults {
        issuer: Issuer::parse(ISSUER).expect("valid"),
        unknown_issuer: None,
        subscription: None,
        resource_group: None,
    };
    let ledger = LedgerSettings {
        write_settle_time: Duration::from_secs(60),
        credential_limit: 20,
        requests_in_flight: 10,
    };
    let (wake, _) = mpsc::unbounded_channel();
    let (configured, defaults) = watch::channel(defaults);
    let grants = Arc::new(Authority::new(Some(Mode::Off), WatchCourse::default()));
    let watches = Watches::new(&client, defaults.clone(), Arc::clone(&grants));
    let settings = Settings {
        issuer: watch::Sender::default().subscribe(),
        revocation_grace: Duration::ZERO,
        defaults,
        credential_limit: 20,
        resync_period: Duration::from_secs(900),
        propagation_delay: Duration::ZERO,
        stalled_after: Duration::from_secs(120),
        allow_force_detach: false,
        read_only: false,
        max_concurrent_reconciles: 8,
    };
    let clock = Clock::Tokio {
        time: Timestamp::UNIX_EPOCH,
        at: Instant::now(),
    };
    let operator = Operator::new(
        client.clone(),
        Events::new(client, None),
        Arc::new(Ledgers::new(Arc::new(AllIsWell), wake, ledger)),
        (watches.bindings, watches.accounts, grants),
        settings,
        clock,
    );
    // The stores live as long as what fills them.
    (Arc::new(operator), watches.requests, configured)
}

/// Lets the operator look at the binding until it is gone, or for a while. Gives what its metrics say then.
pub(crate) async fn run(server: &ApiServer) -> String {
    let (operator, _stores, _) = operator(server);
    let mut registry = Registry::default();
    operator.events.register(&mut registry);
    let began = Instant::now();
    let looks = async {
        while began.elapsed() < LOOKED_AT {
            let Some(binding) = server.state().binding.clone() else {
                return;
            };
            let binding: WorkloadIdentityBinding =
                serde_json::from_value(binding).expect("a binding");
            let wait = match reconcile(Arc::new(binding), Arc::new(operator.begin_pass()))
                .boxed()
                .await
            {
                // What comes as an event comes at once.
                Ok(next) => next.unwrap_or(Duration::from_millis(100)),
                Err(failed) => failed.retry_in,
            };
            sleep(wait).await;
        }
    };
    operator.events.published_during(looks).await;
    let mut metrics = String::new();
    encode(&mut metrics, &registry).expect("metrics");
    metrics
}

/// Two passes, one after the other. The issuer is changed when the first one has begun, and before it does anything.
pub(crate) async fn run_while_the_issuer_changes(server: &ApiServer, to: &str) {
    let (operator, _stores, configured) = operator(server);
    let first = operator.begin_pass();
    configured.send_modify(|defaults| defaults.issuer = Issuer::parse(to).expect("valid"));
    for pass in [first, operator.begin_pass()] {
        let binding = server.state().binding.clone();
        let binding: WorkloadIdentityBinding =
            serde_json::from_value(binding.expect("it is there")).expect("a binding");
        // What it comes to is in the status.
        let _ = reconcile(Arc::new(binding), Arc::new(pass)).boxed().await;
    }
}
