//! What a released definition let in, the current one takes: created and given a status under the old one, an object is read,
//! changed, applied again and let go under the new one, and keeps its fields. `crds/tests/released.rs` compares the schemas.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use azwib_crds::{WorkloadIdentityBinding, binding_crd};
use azwib_e2e::environment::repository;
use azwib_e2e::examples;
use azwib_e2e::wait::until;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::other_group::{Bindings, in_group, install};
use super::{dry_run, refusal, variety};

/// How many specs are made up, and how many of these a definition takes at least.
const MADE_UP: usize = 400;
const TAKEN: usize = 100;

/// How many objects are worked on at once.
const AT_ONCE: usize = 16;

/// A field at the top of an object by which it shows which definition is served.
const MARKER: &str = "servedByCurrent";

/// The definitions that were released, each with its version.
fn released() -> anyhow::Result<Vec<(String, CustomResourceDefinition)>> {
    let folder = repository().join("crds/released");
    let files = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    files
        .map(|file| {
            let path = file?.path();
            let version = path.file_stem().context("no name")?;
            let crd = serde_yaml_ng::from_str(&fs::read_to_string(&path)?)?;
            Ok((version.to_string_lossy().into_owned(), crd))
        })
        .collect()
}

/// The schema of a part (`spec`, `status`) of an object.
fn schema_of(crd: &CustomResourceDefinition, part: &str) -> anyhow::Result<Value> {
    let crd = serde_json::to_value(crd)?;
    Ok(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].clone())
}

/// The current definition, and a marker in it.
fn current(group: &str) -> anyhow::Result<CustomResourceDefinition> {
    let mut crd = in_group(binding_crd(), group);
    let version = crd.spec.versions.first_mut().context("no version")?;
    let schema = version.schema.as_mut().context("no schema")?;
    let root = schema.open_api_v3_schema.as_mut().context("no root")?;
    let marker = JSONSchemaProps {
        type_: Some("string".to_owned()),
        ..JSONSchemaProps::default()
    };
    let fields = root.properties.get_or_insert_default();
    fields.insert(MARKER.to_owned(), marker);
    Ok(crd)
}

/// Puts the current definition in the place of the old one, and waits until it is served.
async fn upgrade(group: &str, bindings: &Bindings) -> anyhow::Result<()> {
    install(&current(group)?).await?;
    let limit = Duration::from_secs(30);
    until("the current definition is served", limit, async || {
        let mut tried = bindings.object("marked", &super::by_name("orders"));
        tried.data[MARKER] = json!("yes");
        let created = bindings.api.create(&dry_run(), &tried).await?;
        Ok(created.data.get(MARKER).is_some().then_some(()))
    })
    .await
}

/// Creates an object of each spec that the definition takes, with a status where it takes that one too.
async fn store(
    bindings: &Bindings,
    specs: &[Value],
    statuses: &[Value],
) -> anyhow::Result<Vec<DynamicObject>> {
    let stored = stream::iter(specs.iter().zip(statuses.iter().cycle()).enumerate())
        .map(async |(number, (spec, status))| {
            let parameters = PostParams::default();
            let name = format!("b-{number}");
            let object = bindings.object(&name, spec);
            let created = bindings.api.create(&parameters, &object).await;
            let Ok(created) = created else {
                refusal(created)?;
                return Ok(None);
            };
            let mut told = created.clone();
            told.data["status"] = status.clone();
            let told = bindings.api.replace_status(&name, &parameters, &told).await;
            let Ok(told) = told else {
                refusal(told)?;
                return Ok(Some(created));
            };
            anyhow::Ok(Some(told))
        })
        .buffered(AT_ONCE);
    let stored: Vec<_> = stored.try_collect().await?;
    Ok(stored.into_iter().flatten().collect())
}

/// Whether all that was there is still there, with the same value. A later definition may add fields with defaults.
fn has_all(now: &Value, before: &Value) -> bool {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => before
            .iter()
            .all(|(name, value)| now.get(name).is_some_and(|now| has_all(now, value))),
        (Value::Array(now), Value::Array(before)) => {
            now.len() == before.len() && now.iter().zip(before).all(|(now, old)| has_all(now, old))
        }
        _ => now == before,
    }
}

/// Fails where a field of the object as it was is gone or has another value.
fn assert_kept(now: &DynamicObject, before: &DynamicObject, after: &str) {
    for part in ["spec", "status"] {
        let (now, before) = (&now.data[part], &before.data[part]);
        assert!(
            has_all(now, before),
            "after {after}: {part} was {before}, is {now}"
        );
    }
}

/// Reads, changes, tells and applies a stored object as users and the operator do.
async fn is_taken(bindings: &Bindings, before: &DynamicObject) -> anyhow::Result<()> {
    let name = before.metadata.name.as_deref().context("no name")?;
    let spec = &before.data["spec"];
    let read = bindings.api.get(name).await?;
    assert_eq!(read.metadata, before.metadata, "reading changes nothing");
    assert_kept(&read, before, "the upgrade");
    let typed: WorkloadIdentityBinding = read.try_parse().with_context(|| format!("{spec}"))?;
    assert_eq!(typed.metadata.generation, before.metadata.generation);

    let finalizers = |names: &[&str]| json!({ "metadata": { "finalizers": names } });
    let guarded = bindings
        .patch(name, finalizers(&["azwib.dev/cleanup"]))
        .await?;
    assert_eq!(guarded, None, "{spec} takes no finalizer");

    let mut told = bindings.api.get(name).await?;
    assert_kept(&told, before, "the finalizer");
    told.data["status"]["observedGeneration"] = json!(1001);
    let told = bindings
        .api
        .replace_status(name, &PostParams::default(), &told)
        .await;
    let told = told.with_context(|| format!("{} is no status any more", before.data["status"]))?;
    let mut expected = before.clone();
    expected.data["status"]["observedGeneration"] = json!(1001);
    assert_kept(&told, &expected, "a write of the status");
    status_is_taken_anew(bindings, told).await?;

    let parameters = PatchParams::apply("author").force();
    let again = Patch::Apply(bindings.object(name, spec));
    let applied = bindings.api.patch(name, &parameters, &again).await;
    let applied = applied.with_context(|| format!("{spec} is not applied again"))?;
    assert_kept(&applied, &expected, "being applied again");
    let let_go = bindings.patch(name, finalizers(&[])).await?;
    assert_eq!(let_go, None, "{spec} keeps its finalizer");
    Ok(())
}

/// Takes the status away and writes it again: what does not change, the API server lets pass that would be refused otherwise.
async fn status_is_taken_anew(bindings: &Bindings, told: DynamicObject) -> anyhow::Result<()> {
    let name = told.metadata.name.as_deref().context("no name")?;
    let parameters = PostParams::default();
    let mut without = told.clone();
    without.data["status"] = json!({ "observedGeneration": 1001 });
    let mut again = bindings
        .api
        .replace_status(name, &parameters, &without)
        .await?;
    again.data["status"] = told.data["status"].clone();
    let again = bindings.api.replace_status(name, &parameters, &again).await;
    let again = again.with_context(|| format!("{} is refused", told.data["status"]))?;
    assert_kept(&again, &told, "a new write of the status");
    Ok(())
}

#[tokio::test]
async fn objects_of_every_released_definition_are_taken_and_keep_their_fields() -> anyhow::Result<()>
{
    let released = released()?;
    assert!(!released.is_empty());
    for (version, old) in released {
        let group = format!("{}.azwib.example", version.replace('.', "-"));
        let examples = examples::of_kind("WorkloadIdentityBinding")?;
        let examples = examples.into_iter().map(|it| it.content["spec"].clone());
        let made_up = variety::values("spec", &schema_of(&old, "spec")?, MADE_UP);
        let specs: Vec<_> = examples.chain(made_up).collect();
        let statuses = variety::values("status", &schema_of(&old, "status")?, MADE_UP);

        install(&in_group(old, &group)).await?;
        let bindings = Bindings::of(&group).await?;
        let stored = store(&bindings, &specs, &statuses).await?;
        let seen = |it: &&DynamicObject| it.data["status"] != json!({ "observedGeneration": -1 });
        let seen = stored.iter().filter(seen).count();
        assert!(
            (TAKEN..MADE_UP).contains(&stored.len()) && (TAKEN / 2..stored.len()).contains(&seen),
            "{version} takes {} of {}, {seen} with a status",
            stored.len(),
            specs.len()
        );

        upgrade(&group, &bindings).await?;
        let taken = stream::iter(&stored).map(|object| is_taken(&bindings, object));
        taken
            .buffered(AT_ONCE)
            .try_collect::<()>()
            .await
            .with_context(|| format!("of {version}"))?;
        // What a manifest in Git says can be created anew.
        let created = stream::iter(&stored).map(|object| bindings.refused(&object.data["spec"]));
        let refused: Vec<_> = created.buffered(AT_ONCE).try_collect().await?;
        let refused: Vec<_> = refused.into_iter().flatten().collect();
        assert_eq!(refused, Vec::<String>::new(), "of {version}");
    }
    Ok(())
}
