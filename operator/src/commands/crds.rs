//! `azwib-operator crds`: the CustomResourceDefinitions that this build was made with.

use std::io::{self, Write};

/// One document for each kind, as config/crd has them.
const DEFINITIONS: [&str; 2] = [
    include_str!("../../../config/crd/azwib.dev_identitygrants.yaml"),
    include_str!("../../../config/crd/azwib.dev_workloadidentitybindings.yaml"),
];

/// Writes the definitions as YAML, ready for `kubectl apply --server-side --filename=-`.
///
/// # Errors
/// They cannot be written.
pub fn write_crds(mut out: impl Write) -> io::Result<()> {
    for definition in DEFINITIONS {
        if !definition.starts_with("---\n") {
            out.write_all(b"---\n")?;
        }
        out.write_all(definition.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use azwib_crds::{IdentityGrant, WorkloadIdentityBinding};
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::{CustomResourceExt, ResourceExt};
    use serde::Deserialize;

    use super::*;

    #[test]
    fn it_prints_the_definition_of_each_kind_of_this_build() {
        let mut printed = Vec::new();
        write_crds(&mut printed).unwrap();
        let documents = serde_yaml_ng::Deserializer::from_slice(&printed);
        let printed = documents.map(|it| CustomResourceDefinition::deserialize(it).unwrap());
        let names: Vec<_> = printed.map(|it| it.name_any()).collect();
        let of_the_types = [IdentityGrant::crd(), WorkloadIdentityBinding::crd()];
        assert_eq!(names, of_the_types.map(|it| it.name_any()));
    }
}
