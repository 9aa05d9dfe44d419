//! What a pod's spec asks for, read strictly: the node does all of it or refuses it.

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// The user that the image names (docs/image.md).
const IMAGE_USER: i64 = 65532;

/// As whom, and with what rights, a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: i64,
    pub(super) group: i64,
    pub(super) may_gain_privileges: bool,
    pub(super) read_only_root: bool,
}

/// The one container of a pod.
///
/// # Errors
/// There are several, or it has what the node does not do.
pub(super) fn container(pod: &Pod) -> anyhow::Result<&Container> {
    let spec = spec(pod)?;
    let [container] = &spec.containers[..] else {
        bail!(
            "a pod of this node has one container, not {}",
            spec.containers.len()
        );
    };
    let is_asked = |asked: bool, what: &str| {
        ensure!(!asked, "the node has no {what}");
        Ok(())
    };
    is_asked(
        spec.init_containers.iter().flatten().next().is_some(),
        "init containers",
    )?;
    is_asked(spec.host_network == Some(true), "host network for pods")?;
    is_asked(container.lifecycle.is_some(), "lifecycle hooks")?;
    is_asked(container.volume_devices.is_some(), "block devices")?;
    is_asked(
        container
            .working_dir
            .as_deref()
            .is_some_and(|it| !it.is_empty() && it != "/"),
        "working directories other than /",
    )?;
    let mut mounts = container.volume_mounts.iter().flatten();
    is_asked(
        mounts.any(|it| it.sub_path.is_some() || it.sub_path_expr.is_some()),
        "subPath mounts",
    )?;
    Ok(container)
}

pub(super) fn spec(pod: &Pod) -> anyhow::Result<&PodSpec> {
    pod.spec.as_ref().context("the pod has no spec")
}

/// As whom a container runs; it wins over its pod, and the pod over the image.
///
/// # Errors
/// `runAsNonRoot` does not allow that user, or it is to be privileged.
pub(super) fn identity(pod: &Pod, container: &Container) -> anyhow::Result<Identity> {
    let of_pod = spec(pod)?.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(of_pod.run_as_user).unwrap_or(IMAGE_USER);
    let group = own.run_as_group.or(of_pod.run_as_group).unwrap_or(user);
    let no_root = own.run_as_non_root.or(of_pod.run_as_non_root);
    ensure!(
        !(no_root == Some(true) && user == 0),
        "container has runAsNonRoot and image will run as root"
    );
    ensure!(
        own.privileged != Some(true),
        "the node runs no privileged container"
    );
    let added = own.capabilities.and_then(|it| it.add).unwrap_or_default();
    ensure!(added.is_empty(), "the node adds no capabilities: {added:?}");
    Ok(Identity {
        user,
        group,
        may_gain_privileges: own.allow_privilege_escalation.unwrap_or(true),
        read_only_root: own.read_only_root_filesystem.unwrap_or_default(),
    })
}

/// A field that `fieldRef` names: <https://kubernetes.io/docs/concepts/workloads/pods/downward-api/#available-fields>.
///
/// # Errors
/// The node does not know it.
pub(super) fn field(pod: &Pod, path: &str) -> anyhow::Result<String> {
    let (metadata, spec) = (&pod.metadata, spec(pod)?);
    let status = pod.status.clone().unwrap_or_default();
    let keyed = |of: &str| path.strip_prefix(of)?.strip_suffix("']");
    let value = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => spec.node_name.clone(),
        "spec.serviceAccountName" => spec.service_account_name.clone(),
        "status.podIP" => status.pod_ip,
        "status.hostIP" => status.host_ip,
        _ => {
            let entry = if let Some(key) = keyed("metadata.labels['") {
                metadata.labels.as_ref().map(|it| it.get(key))
            } else if let Some(key) = keyed("metadata.annotations['") {
                metadata.annotations.as_ref().map(|it| it.get(key))
            } else {
                bail!("the node knows no field {path:?}");
            };
            // One that is not there is empty.
            Some(entry.flatten().cloned().unwrap_or_default())
        }
    };
    Ok(value.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: Value) -> Pod {
        let metadata = json!({ "name": "a", "namespace": "b", "labels": { "team/of": "c" } });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    }

    #[test]
    fn a_spec_that_the_node_cannot_do_is_refused_by_name() {
        let refused = |spec: Value| format!("{:#}", container(&pod(spec)).unwrap_err());
        let two = json!({ "containers": [{ "name": "a" }, { "name": "b" }] });
        assert_eq!(refused(two), "a pod of this node has one container, not 2");
        let hook = json!({ "preStop": { "exec": {} } });
        let hook = json!({ "containers": [{ "name": "a", "lifecycle": hook }] });
        assert_eq!(refused(hook), "the node has no lifecycle hooks");
        let init = json!({ "initContainers": [{ "name": "i" }], "containers": [{ "name": "a" }] });
        assert_eq!(refused(init), "the node has no init containers");
        assert!(container(&pod(json!({ "containers": [{ "name": "a" }] }))).is_ok());
    }

    #[test]
    fn the_container_wins_over_its_pod_and_the_pod_over_the_image() {
        let of = |of_pod: Value, own: Value| {
            let pod = pod(
                json!({ "securityContext": of_pod, "containers": [{ "name": "a", "securityContext": own }] }),
            );
            identity(&pod, container(&pod).unwrap())
        };
        let user = |of_pod, own| of(of_pod, own).map(|it| (it.user, it.group)).ok();
        assert_eq!(user(json!({}), json!({})), Some((65532, 65532)));
        assert_eq!(user(json!({ "runAsUser": 7 }), json!({})), Some((7, 7)));
        let both = (
            json!({ "runAsUser": 7, "runAsGroup": 8 }),
            json!({ "runAsUser": 9 }),
        );
        assert_eq!(user(both.0, both.1), Some((9, 8)));
        assert_eq!(
            user(json!({ "runAsNonRoot": true }), json!({ "runAsUser": 0 })),
            None
        );
        assert_eq!(user(json!({}), json!({ "privileged": true })), None);
        let strict = json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true });
        let strict = of(json!({}), strict).unwrap();
        assert!(strict.read_only_root && !strict.may_gain_privileges);
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        let pod = pod(json!({ "containers": [] }));
        for (path, value) in [
            ("metadata.name", "a"),
            ("metadata.namespace", "b"),
            ("metadata.labels['team/of']", "c"),
            ("metadata.labels['none']", ""),
        ] {
            assert_eq!(field(&pod, path).unwrap(), value, "{path}");
        }
        assert!(field(&pod, "spec.priority").is_err());
    }
}
