//! What must hold at every moment. Each invariant has a name, by which a failure tells of it.

use std::collections::{BTreeMap, BTreeSet};

use azure_simulator::core::Azure;
use azure_simulator::core::http::{Request, Response, Service};
use azure_simulator::core::state::FederatedCredential;
use azwib_crds::{CredentialAdoption, CredentialOrigin, DeletionPolicy, WorkloadIdentityBinding};
use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::costs::{self, Concerns, Costs};
use crate::kubernetes::{Key, Kind, Refusal};
use crate::network::short;
use crate::process::Process;
use crate::setup::ISSUER;
use crate::shared::Shared;
use crate::slots;
use crate::trace::lock;
use crate::world::subject;

/// An identity never has more credentials than it may have.
pub const LIMIT: &str = "never-more-than-the-limit";
/// What others made is never changed or deleted.
pub const OURS: &str = "only-ours-is-changed";
/// No two writes of one process execute on one identity at once.
pub const ONE_WRITE: &str = "one-write-at-a-time";
/// A binding that was good stays Ready as long as its credential stands.
pub const STAYS_READY: &str = "good-stays-ready";
/// Who has waited longest for a slot gets it.
pub const IN_ORDER: &str = "served-in-order";
/// Nothing is asked before the time that Azure has set.
pub const RETRY_AFTER: &str = "no-request-before-its-time";
/// Nothing is sent to Azure that status does not record.
pub const RECORDED: &str = "recorded-before-it-is-sent";

/// How long somebody has to have waited before it counts as overtaken: decisions and statuses take their time.
const WAITED: i64 = 90;

/// How many seconds a process has to catch up with what an old list has not shown.
const CATCHES_UP: i64 = 30;

/// What the invariants remember.
#[derive(Debug, Default)]
pub struct Books {
    /// Which process has sent a request.
    sent_by: BTreeMap<u64, u32>,
    /// Until when a process may not ask for this on an identity.
    told_to_wait: BTreeMap<(u32, String, &'static str), Timestamp>,
    /// Requests whose token was refused.
    token_refused: BTreeSet<(u32, String, &'static str)>,
    /// The version that the last list of bindings of a process has shown, where that was an old one, and when.
    pub old_list: BTreeMap<u32, (u64, Timestamp)>,
    /// When somebody else has last changed something about an identity.
    touched: BTreeMap<String, Timestamp>,
    /// Who has ever waited for a slot or for another binding.
    pub waited: BTreeSet<String>,
    /// What a process has last seen of a credential is from this time, by process and name.
    seen: BTreeMap<(u32, String), Timestamp>,
    /// Whose record of a credential that stood was replaced by that of a write to put it back, by UID.
    repaired: BTreeSet<String>,
    /// Since when an identity has as many credentials as it may have.
    pub full_since: BTreeMap<String, Timestamp>,
    /// Since when a binding says that it waits for a slot, by UID.
    limit_since: BTreeMap<String, (Timestamp, u64)>,
    /// Bindings whose credential was in place, before what they last recorded for a write, by UID.
    holders: BTreeSet<String>,
    /// The status of a binding as last written.
    statuses: BTreeMap<String, Value>,
    /// When the operator has last written anything.
    pub last_write: Option<Timestamp>,
    /// What was spent for bindings, and what went wrong.
    pub costs: Costs,
}

impl Books {
    pub fn touch(&mut self, identity: &str, now: Timestamp) {
        self.touched.insert(identity.to_ascii_lowercase(), now);
    }

    pub fn touched(&self, identity: &str) -> Option<Timestamp> {
        self.touched.get(&identity.to_ascii_lowercase()).copied()
    }
}

/// The credential that a request is about, as it is before the request's effect.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub identity: String,
    name: Option<String>,
    pub credential: Option<FederatedCredential>,
}

impl Target {
    pub fn of(azure: &Azure, request: &Request) -> Self {
        let path = request.path.as_str();
        let marker = "/federatedIdentityCredentials";
        let at = path.to_ascii_lowercase().find(&marker.to_ascii_lowercase());
        let (identity, rest) = at.map_or((path, ""), |at| path.split_at(at));
        let name = rest.get(marker.len() + 1..).map(str::to_ascii_lowercase);
        let credential = name
            .as_ref()
            .and_then(|name| azure.identity(identity)?.credentials.get(name).cloned());
        Self {
            identity: identity.to_ascii_lowercase(),
            name,
            credential,
        }
    }
}

pub(crate) fn operation(request: &Request) -> &'static str {
    let list = request
        .path
        .to_ascii_lowercase()
        .ends_with("/federatedidentitycredentials");
    match request.method.as_str() {
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ if list => "LIST",
        _ => "GET",
    }
}

/// A request of a process is about to leave it.
pub fn azure_sent(process: &Process, request: &Request) {
    if request.service != Service::ResourceManager {
        return;
    }
    let shared = &process.shared;
    costs::sent(process, request);
    let place = (process.number, identity_of(request), operation(request));
    let until = {
        let mut books = lock(&shared.books);
        // Sent again with another token, it is the request that was sent before, whatever another has been told meanwhile.
        let is_sent_again = books.token_refused.remove(&place);
        let until = books.told_to_wait.get(&place).copied();
        until.filter(|_| !is_sent_again)
    };
    if until.is_some_and(|until| shared.time.now() < until) {
        let what = format!(
            "{} of {} before the time that Azure set",
            place.2,
            short(&place.1)
        );
        shared.violated(RETRY_AFTER, what);
    }
}

/// A process has an answer.
pub fn azure_answered(process: &Process, request: &Request, response: &Response) {
    let shared = &process.shared;
    shared.trace.note(format!(
        "azure {} {}: {}",
        request.method,
        short(&request.path),
        response.status
    ));
    shared.count(format!(
        "answer {} {}",
        operation(request),
        response.status.as_u16()
    ));
    if response.status.as_u16() == 401 {
        let place = (process.number, identity_of(request), operation(request));
        lock(&shared.books).token_refused.insert(place);
    }
    let header = response
        .headers
        .get("retry-after")
        .and_then(|it| it.to_str().ok());
    let Some(seconds) = header.and_then(|it| it.parse::<i64>().ok()) else {
        return;
    };
    if request.service != Service::ResourceManager || response.status.is_success() {
        return;
    }
    let place = (process.number, identity_of(request), operation(request));
    let until = shared.time.now() + jiff::SignedDuration::from_secs(seconds);
    lock(&shared.books).told_to_wait.insert(place, until);
}

/// The lower-cased name of the credential that a request is about.
pub(crate) fn credential_of(request: &Request) -> Option<String> {
    let path = request.path.to_ascii_lowercase();
    let (_, name) = path.split_once("/federatedidentitycredentials/")?;
    Some(name.to_owned())
}

pub(crate) fn identity_of(request: &Request) -> String {
    let path = request.path.to_ascii_lowercase();
    let end = path
        .find("/federatedidentitycredentials")
        .unwrap_or(path.len());
    path[..end].to_owned()
}

/// A request has arrived at Azure.
pub fn azure_arrived(process: &Process, id: u64, request: &Request) {
    let shared = &process.shared;
    let other = {
        let azure = lock(&shared.azure);
        azure.request(id).and_then(|record| record.overlaps)
    };
    let mut books = lock(&shared.books);
    books.sent_by.insert(id, process.number);
    let before = other.and_then(|other| books.sent_by.get(&other).copied());
    drop(books);
    if other.is_some() {
        shared.count("overlapping write");
    }
    if before == Some(process.number) {
        let what = format!(
            "{} {} while another write of process {} executes",
            request.method,
            short(&request.path),
            process.number
        );
        shared.violated(ONE_WRITE, what);
    }
}

/// A request has had its effect, or has been refused.
pub fn azure_effect(process: &Process, azure: &Azure, id: u64, request: &Request, before: &Target) {
    let shared = &process.shared;
    if request.service != Service::ResourceManager {
        return;
    }
    within_the_limit(shared, azure);
    slots::look(shared, azure);
    let (Some(name), Some(record)) = (&before.name, azure.request(id)) else {
        return;
    };
    if *request.method.as_str() == *"GET" {
        let lag = jiff::SignedDuration::from_secs(
            i64::try_from(azure.settings().tunables.read_lag_seconds).unwrap_or_default(),
        );
        let seen = (process.number, name.clone());
        lock(&shared.books)
            .seen
            .insert(seen, shared.time.now() - lag);
    }
    if record.effect.is_none() {
        return;
    }
    let after = azure
        .identity(&before.identity)
        .and_then(|it| it.credentials.get(name));
    if after == before.credential.as_ref() {
        return;
    }
    shared.trace.note(format!(
        "effect of {} {}",
        request.method,
        short(&request.path)
    ));
    shared.count(format!("effect {}", request.method));
    let account = shared.accounts.get(name).cloned();
    let Some((namespace, account)) = account else {
        return shared.violated(
            OURS,
            format!("{} of {name}, which is no binding's", request.method),
        );
    };
    match after {
        None => deleted(process, before, &namespace, &account),
        Some(after) => {
            let used = azure
                .identity(&before.identity)
                .map_or(0, |it| it.credentials.len());
            let free = shared.limit.saturating_sub(used);
            written(process, before, after, free, &namespace, &account);
        }
    }
}

fn within_the_limit(shared: &Shared, azure: &Azure) {
    let limit = azure.settings().tunables.credential_limit;
    for (id, identity) in azure.identities() {
        if identity.credentials.len() > limit {
            shared.violated(
                LIMIT,
                format!("{} on {}", identity.credentials.len(), short(&id)),
            );
        }
    }
}

fn bindings_of(
    shared: &Shared,
    namespace: &str,
    account: &str,
    identity: &str,
) -> Vec<WorkloadIdentityBinding> {
    let mut bindings = shared.cluster.bindings();
    bindings.retain(|it| {
        it.metadata.namespace.as_deref() == Some(namespace)
            && it.spec.service_account.name.as_deref() == Some(account)
            && is_for(it, identity)
    });
    bindings
}

/// Whether a binding is for this identity.
pub fn is_for(binding: &WorkloadIdentityBinding, identity: &str) -> bool {
    let id = binding.spec.identity.resource_id.as_deref();
    id.is_some_and(|id| id.eq_ignore_ascii_case(identity))
}

/// Whether somebody else has changed the identity since the process looked at the credential: it cannot know.
fn changed_since_seen(process: &Process, target: &Target) -> bool {
    let books = lock(&process.shared.books);
    let name = target.name.clone().unwrap_or_default();
    let seen = books.seen.get(&(process.number, name)).copied();
    books.touched(&target.identity) >= seen
}

fn deleted(process: &Process, before: &Target, namespace: &str, account: &str) {
    let shared = &process.shared;
    let gone = before.credential.as_ref();
    let ours = gone.is_some_and(|it| {
        it.issuer == ISSUER && it.subject.as_deref() == Some(&subject(namespace, account))
    });
    if !ours && !changed_since_seen(process, before) {
        shared.violated(
            OURS,
            format!("a credential of {namespace}/{account} whose subject is not ours was deleted"),
        );
    }
    // A process that has died may have sent it long ago.
    if process.is_dead() {
        return;
    }
    let bindings = bindings_of(shared, namespace, account, &before.identity);
    let leaves = bindings.iter().any(|it| {
        it.metadata.deletion_timestamp.is_some()
            && it.spec.deletion_policy == DeletionPolicy::Delete
    });
    let stays = bindings
        .iter()
        .any(|it| it.metadata.deletion_timestamp.is_none() && is_ready(it));
    if !leaves && !bindings.is_empty() || stays {
        shared.violated(
            OURS,
            format!(
                "the credential of {namespace}/{account} was deleted under a binding that needs it"
            ),
        );
    }
}

fn written(
    process: &Process,
    before: &Target,
    after: &FederatedCredential,
    free: usize,
    namespace: &str,
    account: &str,
) {
    let shared = &process.shared;
    if after.issuer != ISSUER || after.subject.as_deref() != Some(&subject(namespace, account)) {
        shared.violated(
            OURS,
            format!("a credential for {:?} was written", after.subject),
        );
    }
    let bindings = bindings_of(shared, namespace, account, &before.identity);
    let recorded = bindings.iter().any(|it| {
        let credentials = it.status.iter().flat_map(|status| &status.credentials);
        credentials
            .into_iter()
            .any(|credential| credential.name.eq_ignore_ascii_case(&after.name))
    });
    if !recorded && !bindings.is_empty() && !process.is_dead() {
        shared.violated(
            RECORDED,
            format!("{} was written, and no status records it", after.name),
        );
    }
    if before.credential.is_none() && !process.is_dead() {
        overtaken(process, &before.identity, free, &bindings);
    }
}

fn age(binding: &WorkloadIdentityBinding) -> (Option<Timestamp>, Option<String>, Option<String>) {
    let metadata = &binding.metadata;
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created, metadata.namespace.clone(), metadata.name.clone())
}

/// Whether somebody older waits for a slot of this identity while a younger binding has got one.
fn overtaken(process: &Process, identity: &str, free: usize, served: &[WorkloadIdentityBinding]) {
    let shared = &process.shared;
    // One that is being deleted may have sent it: of several for the same account the oldest does.
    let Some(first) = served.iter().min_by_key(|it| age(it)) else {
        return;
    };
    // Who had a credential before comes first.
    let uid = first.metadata.uid.as_deref().unwrap_or_default();
    let is_repair = {
        let books = lock(&shared.books);
        books.holders.contains(uid) || books.repaired.contains(uid)
    };
    if is_repair {
        return;
    }
    let mut waiting = Vec::new();
    let now = shared.time.now();
    for waiter in shared.cluster.bindings() {
        let uid = waiter.metadata.uid.as_deref().unwrap_or_default();
        let since = lock(&shared.books).limit_since.get(uid).copied();
        let since = since.filter(|(_, version)| is_shown(process, *version));
        let waits = condition(&waiter, "CredentialReady").is_some_and(|condition| {
            condition.reason == "CredentialLimitReached"
                && condition.observed_generation == waiter.metadata.generation
                && since.is_some_and(|(since, _)| now.duration_since(since).as_secs() > WAITED)
        });
        if waits
            && is_for(&waiter, identity)
            && waiter.metadata.deletion_timestamp.is_none()
            && !waiter.spec.suspend
            && age(&waiter) < age(first)
            && is_next_of_its_account(shared, &waiter)
        {
            waiting.push(waiter.metadata.name.clone().unwrap_or_default());
        }
    }
    // Where there is room for all of them, who comes first does not matter.
    if waiting.len() > free {
        let served = &first.metadata.name;
        let what = format!("{waiting:?} wait, and the younger {served:?} is served");
        shared.violated(IN_ORDER, what);
    }
}

/// Whether a process can know of this version: its list may have been an old one, which its watch makes up for.
fn is_shown(process: &Process, version: u64) -> bool {
    let books = lock(&process.shared.books);
    let old = books.old_list.get(&process.number);
    old.is_none_or(|(shown, at)| {
        version <= *shown || process.shared.time.now().duration_since(*at).as_secs() > CATCHES_UP
    })
}

/// Neither the condition nor the account stands in its way.
fn is_next_of_its_account(shared: &Shared, binding: &WorkloadIdentityBinding) -> bool {
    let step = |name| {
        condition(binding, name)
            .is_some_and(|it| it.status == "True" || it.reason == "WaitingForCredential")
    };
    let others = shared.cluster.bindings();
    let twin = others.iter().any(|other| {
        other.metadata.namespace == binding.metadata.namespace
            && other.spec.service_account.name == binding.spec.service_account.name
            && other.metadata.uid != binding.metadata.uid
    });
    !twin && step("IdentityResolved") && step("ServiceAccountReady")
}

pub fn holds_credential(binding: &WorkloadIdentityBinding) -> bool {
    let credentials = binding.status.iter().flat_map(|status| &status.credentials);
    credentials
        .into_iter()
        .any(|it| it.origin == CredentialOrigin::Created)
}

/// A condition of a binding.
pub fn condition<'a>(
    binding: &'a WorkloadIdentityBinding,
    type_: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let status = binding.status.as_ref()?;
    status.conditions.iter().find(|it| it.type_ == type_)
}

pub fn is_ready(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "Ready").is_some_and(|it| it.status == "True")
}

/// A request has ended at Azure.
pub fn azure_ended(process: &Process, request: &Request) {
    if credential_of(request).is_some() && operation(request) != "GET" {
        lock(&process.shared.books).last_write = Some(process.shared.time.now());
    }
}

/// The operator has written to the API server, or tried to.
pub fn kubernetes_call(
    process: &Process,
    method: &Method,
    key: &Key,
    status: bool,
    body: &Value,
    outcome: &Result<Value, Refusal>,
) {
    if *method == Method::GET {
        return;
    }
    let shared = &process.shared;
    lock(&shared.books).last_write = Some(shared.time.now());
    let what = match (key.kind, status) {
        (Kind::Account, _) => "account",
        (_, true) => "status",
        _ => "finalizer",
    };
    let whose = format!("{}/{}", key.namespace, key.name);
    let object = match outcome {
        Ok(object) => object,
        Err(refusal) => {
            let (namespace, name) = (key.namespace.clone(), key.name.clone());
            let concerns = match key.kind {
                Kind::Account => Concerns::Account(namespace, name),
                _ => Concerns::Binding(namespace, name),
            };
            costs::fault(shared, concerns);
            shared.count(format!("kubernetes {what} {}", refusal.code));
            return shared
                .trace
                .note(format!("kubernetes {what} of {whose}: {}", refusal.message));
        }
    };
    costs::written(shared, key.kind, status, object);
    if !status {
        return shared.trace.note(format!("kubernetes {what} of {whose}"));
    }
    let ready = body["status"]["conditions"]
        .as_array()
        .and_then(|all| all.first())
        .cloned()
        .unwrap_or_default();
    shared.trace.note(format!(
        "kubernetes status of {whose}: Ready={} {}: {}; {}",
        ready["status"].as_str().unwrap_or_default(),
        ready["reason"].as_str().unwrap_or_default(),
        ready["message"].as_str().unwrap_or_default(),
        object["status"]["credentials"]
            .as_array()
            .map_or(String::new(), |all| {
                all.iter()
                    .map(|it| format!("{} ", it["origin"].as_str().unwrap_or_default()))
                    .collect()
            }),
    ));
    for condition in body["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        shared.count(format!(
            "reason {}",
            condition["reason"].as_str().unwrap_or_default()
        ));
    }
    let reason = ready["reason"].as_str().unwrap_or_default();
    if [
        "CredentialLimitReached",
        "WaitingForTurn",
        "ServiceAccountConflict",
    ]
    .contains(&reason)
    {
        lock(&shared.books).waited.insert(whose);
    }
    let uid = object["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let waits = body["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|it| it["type"] == "CredentialReady" && it["reason"] == "CredentialLimitReached");
    {
        let mut books = lock(&shared.books);
        if waits {
            let now = shared.time.now();
            let version = shared.cluster.version();
            books
                .limit_since
                .entry(uid.clone())
                .or_insert((now, version));
        } else {
            books.limit_since.remove(&uid);
        }
        let records = |origin: &str| {
            let credentials = object["status"]["credentials"].as_array();
            credentials.is_some_and(|all| all.iter().any(|it| it["origin"] == origin))
        };
        if records("Created") {
            books.holders.insert(uid.clone());
        } else if !records("Pending") {
            books.holders.remove(&uid);
        }
    }
    let before = lock(&shared.books)
        .statuses
        .insert(uid.clone(), object["status"].clone());
    let origin = |status: &Value| status["credentials"][0]["origin"].clone();
    match (
        before.as_ref().map(origin).unwrap_or_default().as_str(),
        origin(&object["status"]).as_str(),
    ) {
        (Some("Created"), Some("Pending")) => {
            lock(&shared.books).repaired.insert(uid);
        }
        (_, Some("Pending")) => {}
        _ => {
            lock(&shared.books).repaired.remove(&uid);
        }
    }
    let Ok(binding) = serde_json::from_value::<WorkloadIdentityBinding>(object.clone()) else {
        return;
    };
    if let Some(before) = before {
        stays_ready(shared, &before, &binding);
    }
}

/// What takes Ready away although the credential stands.
const OTHER_REASONS: [&str; 4] = [
    "ServiceAccountConflict",
    "NamespaceTerminating",
    "ServiceAccountRefused",
    "DuplicateBinding",
];

fn stays_ready(shared: &Shared, before: &Value, binding: &WorkloadIdentityBinding) {
    let was = before["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["type"] == "Ready");
    let Some(was) = was.filter(|it| it["status"] == "True") else {
        return;
    };
    let generation = binding.metadata.generation;
    if is_ready(binding)
        || binding.metadata.deletion_timestamp.is_some()
        || was["observedGeneration"].as_i64() != generation
    {
        return;
    }
    let Some(now) = condition(binding, "Ready") else {
        return;
    };
    if OTHER_REASONS.contains(&now.reason.as_str()) {
        return;
    }
    let Some(identity) = binding.spec.identity.resource_id.as_deref() else {
        return;
    };
    let since = was["lastTransitionTime"]
        .as_str()
        .and_then(|it| it.parse::<Timestamp>().ok());
    let touched = lock(&shared.books).touched(identity);
    if touched.is_some_and(|touched| {
        since.is_none_or(|since| touched + jiff::SignedDuration::from_secs(30) >= since)
    }) {
        return;
    }
    let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
    let account = binding
        .spec
        .service_account
        .name
        .as_deref()
        .unwrap_or_default();
    let stands = lock(&shared.azure).identity(identity).is_some_and(|it| {
        it.credentials.values().any(|credential| {
            may_count(binding, &credential.name)
                && credential.issuer == ISSUER
                && credential.subject.as_deref() == Some(&subject(namespace, account))
                && credential.audiences == [binding.spec.credential.audience.clone()]
        })
    });
    if stands {
        shared.violated(
            STAYS_READY,
            format!(
                "{namespace}/{:?} lost Ready for {}: {}",
                binding.metadata.name, now.reason, now.message
            ),
        );
    }
}

/// Whether a credential of this name can be the binding's: its own, or one that it may adopt.
fn may_count(binding: &WorkloadIdentityBinding, name: &str) -> bool {
    name.starts_with("azwib-")
        || binding.spec.credential.adoption == CredentialAdoption::IfIdentical
}
