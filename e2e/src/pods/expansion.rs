//! `$(VARIABLE)` in arguments and in the values of variables:
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#entrypoint>.

/// The text with each `$(NAME)` replaced. A name that nobody knows stays as it is, and `$$` stands for a dollar sign.
pub(super) fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            match value(name) {
                Some(value) => expanded.push_str(&value),
                None => expanded.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

/// The name in the parentheses that a text begins with, and what follows them.
fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(')')
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references_are_replaced_as_kubernetes_documents_it() {
        let value = |name: &str| (name == "A").then(|| "1$(B)".to_owned());
        for (text, expanded) in [
            ("", ""),
            ("plain", "plain"),
            ("--a=$(A)", "--a=1$(B)"),
            ("$(A)$(A)", "1$(B)1$(B)"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1$(B)"),
            ("$A ${A} $(A", "$A ${A} $(A"),
            ("end$", "end$"),
        ] {
            assert_eq!(expand(text, value), expanded, "{text}");
        }
    }
}
