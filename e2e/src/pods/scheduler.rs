//! Gives pods that wait for a node to the only one there is.

use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::machine::NODE;

/// Whether a pod has no node and wants one.
pub(super) fn is_pending(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    spec.is_some_and(|it| it.node_name.is_none()) && pod.metadata.deletion_timestamp.is_none()
}

/// Binds a pod to the node, as a scheduler does. Where the node does not take it, the pod says why, and the answer is false.
///
/// # Errors
/// The API server does not answer, or refuses: somebody was faster.
pub(super) async fn schedule(client: &Client, pod: &Pod) -> anyhow::Result<bool> {
    let nodes: Api<Node> = Api::all(client.clone());
    let namespace = pod.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let node = nodes.get(NODE).await?;
    if let Some(objection) = objection(pod, &node) {
        say(&pods, pod, objection).await?;
        return Ok(false);
    }
    let binding = Binding {
        metadata: kube::api::ObjectMeta {
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..kube::api::ObjectMeta::default()
        },
        target: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(NODE.to_owned()),
            ..ObjectReference::default()
        },
    };
    let how = PostParams::default();
    let _: Status = pods
        .create_subresource("binding", &pod.name_any(), &how, &binding)
        .await?;
    Ok(true)
}

/// Why the node does not take a pod. Of tolerations it knows none: a tainted node takes nothing.
fn objection(pod: &Pod, node: &Node) -> Option<String> {
    let spec = node.spec.clone().unwrap_or_default();
    if spec.unschedulable == Some(true) {
        return Some("0/1 nodes are available: 1 node(s) were unschedulable.".to_owned());
    }
    let taints = spec.taints.unwrap_or_default();
    if let Some(taint) = taints.iter().find(|it| it.effect != "PreferNoSchedule") {
        let key = &taint.key;
        return Some(format!(
            "0/1 nodes are available: 1 node(s) had untolerated taint {{{key}}}."
        ));
    }
    let wanted = pod.spec.as_ref()?.node_selector.clone().unwrap_or_default();
    let differs = |(key, value): (&String, &String)| node.labels().get(key) != Some(value);
    wanted.iter().any(differs).then(|| {
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.".to_owned()
    })
}

async fn say(pods: &Api<Pod>, pod: &Pod, message: String) -> anyhow::Result<()> {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    if conditions.any(|it| it.message.as_ref() == Some(&message)) {
        return Ok(());
    }
    let condition = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message),
        last_transition_time: Some(Time(jiff::Timestamp::now())),
        ..PodCondition::default()
    };
    let status = PodStatus {
        conditions: Some(vec![condition]),
        ..PodStatus::default()
    };
    let patch = Patch::Strategic(serde_json::json!({ "status": status }));
    let how = PatchParams::default();
    pods.patch_status(&pod.name_any(), &how, &patch).await?;
    Ok(())
}
