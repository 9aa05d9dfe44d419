//! Events about bindings: transitions only. A failed event is logged and never fails a pass.
//!
//! They are published beside the passes, a few at a time: when many bindings come at once, what the API server can do goes
//! into their status first. Only what is told of a binding's end is published before that.

mod in_order;
mod reason;
mod unpublished;

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azwib_crds::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use futures::FutureExt;
use k8s_controller::events::{Event, EventRecorder, PublishError, Reporter};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource};
use prometheus_client::registry::Registry;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::sleep;

use self::in_order::for_each_in_order;
pub use self::reason::EventReason;
use self::unpublished::{Unpublished, code};
use super::status::reason::{ConditionType, Reason};
use crate::azure::safe_line;
use crate::kubeutil::conditions::find;
use crate::runtime::lock::lock;

/// Name under which events are reported.
const CONTROLLER: &str = "azwib.dev/workloadidentitybinding";

/// At most this many events wait to be published; further ones are lost. Nobody who creates a hundred bindings a second for minutes reads events.
const QUEUE: usize = 10_000;

/// Bindings whose events are published at once: a call that hangs must not hold up those of all others.
const AT_ONCE: usize = 8;

/// How long the publication of an event may take: longer than the API server gives an admission webhook by default (10 s).
const PUBLISHED_WITHIN: Duration = Duration::from_secs(15);

/// How long the operator goes on publishing when it stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The recorder knows what it has published in the last ten minutes, to count what comes again, and goes through all of it
/// for each event. So it is replaced after this many events: otherwise the cost would grow faster than the number of bindings.
const REMEMBERED: usize = 256;

/// Tells what happens to bindings.
pub struct Events {
    client: Client,
    reporter: Reporter,
    recorder: Mutex<Remembering>,
    queue: Mutex<Option<Sender<Told>>>,
    told: tokio::sync::Mutex<Receiver<Told>>,
    unpublished: Unpublished,
}

/// Something that is to be published about a binding.
struct Told {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    reason: EventReason,
    note: String,
}

/// A recorder, and how much it knows.
struct Remembering {
    recorder: Arc<EventRecorder>,
    published: usize,
}

fn recorder(client: Client, reporter: Reporter) -> EventRecorder {
    EventRecorder::new(client, reporter).with_timeout(PUBLISHED_WITHIN)
}

impl Events {
    pub fn new(client: Client, instance: Option<String>) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance,
        };
        let recorder = Arc::new(recorder(client.clone(), reporter.clone()));
        let (queue, told) = mpsc::channel(QUEUE);
        Self {
            client,
            reporter,
            recorder: Mutex::new(Remembering {
                recorder,
                published: 0,
            }),
            queue: Mutex::new(Some(queue)),
            told: tokio::sync::Mutex::new(told),
            unpublished: Unpublished::default(),
        }
    }

    /// Has the registry show how many events were not published.
    pub fn register(&self, registry: &mut Registry) {
        self.unpublished.register(registry);
    }

    /// Publishes what is told while this work goes on, and then what is left, as far as that takes no time.
    pub async fn published_during(&self, work: impl Future<Output = ()>) {
        let work = async {
            work.await;
            lock(&self.queue).take();
            sleep(LAST_WORDS).await;
        };
        // Ends when the queue is closed and empty.
        let publishing = async {
            let mut told = self.told.lock().await;
            let binding = |told: &Told| told.uid.clone();
            let publish = |told| self.publish(told).boxed();
            for_each_in_order(&mut told, AT_ONCE, binding, publish).await;
        };
        tokio::select! {
            // In this order, and not by chance: a simulation has to come out the same again.
            biased;
            () = work => {}
            () = publishing => {}
        }
    }

    /// Tells of a change of `Ready`, from its conditions before and after a pass.
    pub fn ready_changed(
        &self,
        binding: &WorkloadIdentityBinding,
        before: &[Condition],
        after: &[Condition],
    ) {
        let ready = |conditions| find(conditions, ConditionType::Ready.as_str());
        let Some(now) = ready(after) else { return };
        if ready(before)
            .is_some_and(|before| before.status == now.status && before.reason == now.reason)
        {
            return;
        }
        if let Some(reason) = Reason::named(&now.reason) {
            let reason = EventReason::Ready(reason);
            self.tell(&binding.metadata, reason, &now.message);
        }
    }

    /// Tells that a good binding could not be looked at; its status stays as it is.
    pub fn not_looked_at(&self, binding: &WorkloadIdentityBinding, reason: Reason, message: &str) {
        self.tell(&binding.metadata, EventReason::Ready(reason), message);
    }

    /// Tells that the identity is another one under the same id, from what was resolved before and what is now.
    pub fn identity_replaced(
        &self,
        binding: &WorkloadIdentityBinding,
        now: &WorkloadIdentityBindingStatus,
    ) {
        let client_id = |status: &WorkloadIdentityBindingStatus| {
            let identity = status.identity.as_ref();
            identity.map(|identity| identity.client_id.clone())
        };
        let before = binding.status.as_ref().and_then(client_id);
        let (Some(before), Some(now)) = (before, client_id(now)) else {
            return;
        };
        if before != now {
            let note = format!(
                "the managed identity was made again: its client id was {before} and is {now}; restart the pods that use \
                 its service account, which keep the old one"
            );
            self.tell(&binding.metadata, EventReason::IdentityReplaced, &note);
        }
    }

    /// Tells what grants would refuse if they were required.
    pub fn would_be_refused(&self, binding: &WorkloadIdentityBinding, why: &str) {
        let note = format!("nothing is refused yet; with --grants=enforce: {why}");
        self.tell(&binding.metadata, EventReason::WouldBeRefused, &note);
    }

    /// Tells that a grant is missing for `deletionPolicy: Retain`.
    pub fn retain_ignored(&self, binding: &WorkloadIdentityBinding) {
        let note = "deletionPolicy Retain is not honoured: no IdentityGrant that covers the binding allows it. What azwib makes \
                    is deleted with the binding; ask the platform team for a grant with allowRetain, or set Delete";
        self.tell(&binding.metadata, EventReason::RetainNotGranted, note);
    }

    /// Tells that an adopted credential still gives access that no grant covers.
    pub fn access_remains(
        &self,
        binding: &WorkloadIdentityBinding,
        credential: &str,
        how_to_remove: &str,
    ) {
        let note = format!(
            "no grant covers the binding any more, and access remains by the credential {}, which somebody else made; to end \
             it: {how_to_remove}",
            safe_line(credential)
        );
        self.tell(&binding.metadata, EventReason::AccessRemains, &note);
    }

    /// Tells that a credential was not deleted with its binding, while that and its namespace are there.
    pub async fn credential_left(&self, binding: &ObjectMeta, credential: &str, why: &str) {
        // Whoever can write status can write anything there.
        let (credential, why) = (safe_line(credential), safe_line(why));
        let note =
            format!("the federated identity credential {credential} is left in Azure: {why}");
        self.publish(Told::new(binding, EventReason::CredentialLeft, &note))
            .await;
    }

    /// Tells that an account stays though the last of its bindings goes, while that and its namespace are there.
    pub async fn account_left(&self, binding: &ObjectMeta, account: &str, why: &str) {
        let note = format!("the service account {account} stays: {why}");
        self.publish(Told::new(binding, EventReason::AccountLeft, &note))
            .await;
    }

    /// Tells that an account came back from its release otherwise than it was written, while the binding and its namespace are
    /// there.
    pub async fn account_altered(&self, binding: &ObjectMeta, account: &str, what: &str) {
        let note = format!(
            "the service account {account} was written as its binding goes, and came back changed: {what}. An admission policy \
             or webhook of this cluster changes what azwib writes: exempt this account from it, and put the account right"
        );
        self.publish(Told::new(binding, EventReason::AccountAltered, &note))
            .await;
    }

    /// Tells that a binding was let go although its cleanup failed, while that and its namespace are there.
    pub async fn detached(&self, binding: &ObjectMeta, why: &str) {
        let note = format!("let go as asked; what it made may be left: {why}");
        self.publish(Told::new(binding, EventReason::ForceDetached, &note))
            .await;
    }

    /// Tells in the operator's own namespace whether bindings need a grant from now on.
    pub async fn grants_mode(&self, own_namespace: &str, note: String) {
        let reason = EventReason::GrantsMode;
        let event = event(reason, note);
        let outcome = self.publish_about_namespace(own_namespace, &event).await;
        if let Err(error) = outcome {
            self.unpublished.note(reason, code(&error), &error);
        }
    }

    /// Tells what is found of the issuer, about the operator's own namespace.
    pub async fn issuer(&self, own_namespace: &str, reason: EventReason, note: String) {
        let event = event(reason, note);
        let outcome = self.publish_about_namespace(own_namespace, &event).await;
        if let Err(error) = outcome {
            self.unpublished.note(reason, code(&error), &error);
        }
    }

    /// Tells what no status can tell: the API server takes none.
    pub fn refused(&self, binding: &ObjectMeta, message: &str) {
        self.tell(binding, EventReason::Ready(Reason::BindingRefused), message);
    }

    /// Tells a binding that it cannot be read.
    pub fn unreadable(&self, binding: &ObjectMeta, message: &str) {
        self.tell(binding, EventReason::Ready(Reason::InvalidSpec), message);
    }

    fn tell(&self, binding: &ObjectMeta, reason: EventReason, note: &str) {
        let told = Told::new(binding, reason, note);
        let queued = lock(&self.queue).as_ref().map(|queue| queue.try_send(told));
        if !matches!(queued, Some(Ok(()))) {
            let why = "too many wait, or the operator is stopping";
            self.unpublished.note(reason, None, &why);
        }
    }

    fn recorder(&self) -> Arc<EventRecorder> {
        let mut remembering = lock(&self.recorder);
        remembering.published += 1;
        if remembering.published > REMEMBERED {
            let recorder = recorder(self.client.clone(), self.reporter.clone());
            *remembering = Remembering {
                recorder: Arc::new(recorder),
                published: 1,
            };
        }
        Arc::clone(&remembering.recorder)
    }

    /// In a namespace that is being deleted nothing can be created, events neither: they are then about the Namespace.
    async fn publish(&self, told: Told) {
        let Told {
            namespace,
            name,
            uid,
            reason,
            note,
        } = told;
        let binding = ObjectMeta {
            namespace,
            name,
            uid,
            ..ObjectMeta::default()
        };
        let about = metadata::<WorkloadIdentityBinding>(binding.clone());
        let recorder = self.recorder();
        let outcome = match recorder.publish(&about, &event(reason, note.clone())).await {
            Err(PublishError::Kube(error)) if is_terminating(&error) => {
                let name = binding.name.as_deref().unwrap_or_default();
                let note = format!("binding {name}: {note}");
                let namespace = binding.namespace.as_deref().unwrap_or_default();
                self.publish_about_namespace(namespace, &event(reason, note))
                    .await
            }
            outcome => outcome,
        };
        if let Err(error) = outcome {
            self.unpublished.note(reason, code(&error), &error);
        }
    }

    async fn publish_about_namespace(&self, name: &str, event: &Event) -> Result<(), PublishError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        match namespaces.get_metadata_opt(name).await? {
            Some(namespace) => {
                let about = metadata::<Namespace>(namespace.metadata);
                self.recorder().publish(&about, event).await
            }
            None => Ok(()),
        }
    }
}

impl Told {
    fn new(binding: &ObjectMeta, reason: EventReason, note: &str) -> Self {
        Self {
            namespace: binding.namespace.clone(),
            name: binding.name.clone(),
            uid: binding.uid.clone(),
            reason,
            note: note.to_owned(),
        }
    }
}

fn event(reason: EventReason, note: String) -> Event {
    Event {
        type_: reason.type_(),
        reason: reason.as_str().to_owned(),
        action: reason.action().to_owned(),
        note: Some(note),
        related: None,
    }
}

fn metadata<K>(metadata: ObjectMeta) -> PartialObjectMeta<K>
where
    K: Resource<DynamicType = ()>,
{
    PartialObjectMeta {
        types: None,
        metadata,
        _phantom: PhantomData,
    }
}

fn is_terminating(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(answer) if answer
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .any(|cause| cause.reason == "NamespaceTerminating"))
}
