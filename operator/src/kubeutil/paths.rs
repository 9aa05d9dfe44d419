//! Paths of the API server's resources.

/// The segments of such a path, up to the version of its API and below it; None for any other path.
pub(crate) fn of_resource(path: &str) -> Option<(Vec<&str>, Vec<&str>)> {
    let mut segments: Vec<_> = path.trim_matches('/').split('/').collect();
    let below = match segments.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return None,
    };
    (segments.len() >= below).then(|| {
        let rest = segments.split_off(below);
        (segments, rest)
    })
}

/// The resource of a path, its subresource with it, and the path without the names in it.
pub(crate) fn without_names(path: &str) -> Option<(String, String)> {
    let (version, rest) = of_resource(path)?;
    let mut template = format!("/{}", version.join("/"));
    let rest = match *rest {
        ["namespaces", _, _, ..] => {
            template.push_str("/namespaces/{namespace}");
            &rest[2..]
        }
        _ => &rest[..],
    };
    let (resource, rest) = rest.split_first()?;
    template.push_str(&format!("/{resource}"));
    let Some((_name, below)) = rest.split_first() else {
        return Some(((*resource).to_owned(), template));
    };
    template.push_str("/{name}");
    let subresource = below.first().map_or(String::new(), |it| format!("/{it}"));
    Some((
        format!("{resource}{subresource}"),
        format!("{template}{subresource}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_an_object_is_left_in_a_path() {
        const BINDINGS: &str = "/apis/azwib.dev/v1alpha1/namespaces/shop/workloadidentitybindings";
        let status = format!("{BINDINGS}/orders/status");
        for (path, expected) in [
            (
                "/api/v1/namespaces/shop/serviceaccounts/orders",
                Some((
                    "serviceaccounts",
                    "/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
                )),
            ),
            (
                status.as_str(),
                Some((
                    "workloadidentitybindings/status",
                    "/apis/azwib.dev/v1alpha1/namespaces/{namespace}/workloadidentitybindings/{name}/status",
                )),
            ),
            (
                "/api/v1/namespaces/shop",
                Some(("namespaces", "/api/v1/namespaces/{name}")),
            ),
            (
                "/api/v1/namespaces",
                Some(("namespaces", "/api/v1/namespaces")),
            ),
            (
                "/apis/azwib.dev/v1alpha1/identitygrants/shop/status",
                Some((
                    "identitygrants/status",
                    "/apis/azwib.dev/v1alpha1/identitygrants/{name}/status",
                )),
            ),
            ("/apis/azwib.dev/v1alpha1", None),
            ("/apis/azwib.dev", None),
            ("/openapi/v3/apis/azwib.dev", None),
            ("/", None),
        ] {
            let found = without_names(path);
            let found = found
                .as_ref()
                .map(|(it, template)| (it.as_str(), template.as_str()));
            assert_eq!(found, expected, "{path}");
        }
    }
}
