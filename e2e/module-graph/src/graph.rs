//! Which module names what of which other, and the circles in that.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::package::{Name, Package};
use crate::paths::Written;

/// How many names for one thing are followed from module to module; more would be a circle of `use`.
const FOLLOWED: usize = 16;

/// One module names something of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) what: String,
}

/// The circles of a package, each by the imports within it. A module that imports itself is none.
pub(crate) fn circles(package: &Package) -> Vec<Vec<Import>> {
    let mut graph = DiGraph::new();
    let nodes: BTreeMap<&Name, NodeIndex> = package
        .modules
        .keys()
        .map(|name| (name, graph.add_node(name)))
        .collect();
    for (name, module) in &package.modules {
        for path in &module.paths {
            if let Some(to) = target(package, name, path).filter(|to| to != name)
                && let Some(to) = nodes.get(&to)
            {
                graph.add_edge(nodes[name], *to, path.join("::"));
            }
        }
    }
    let components = tarjan_scc(&graph);
    let circles = components.iter().filter(|it| it.len() > 1);
    circles
        .map(|circle| imports_within(&graph, circle))
        .collect()
}

fn imports_within(graph: &DiGraph<&Name, String>, circle: &[NodeIndex]) -> Vec<Import> {
    let told = |node: NodeIndex| match graph[node].join("::") {
        root if root.is_empty() => "crate".to_owned(),
        name => name,
    };
    let edges = graph.edge_indices().filter_map(|edge| {
        let (from, to) = graph.edge_endpoints(edge)?;
        (circle.contains(&from) && circle.contains(&to)).then(|| Import {
            from: told(from),
            to: told(to),
            what: graph[edge].clone(),
        })
    });
    let mut imports: Vec<_> = edges.collect();
    imports.sort();
    imports
}

/// The module that defines what a path leads to from the module `from`; none for what is of another package.
fn target(package: &Package, from: &Name, path: &Written) -> Option<Name> {
    follow(package, from, path, FOLLOWED)
}

fn follow(package: &Package, from: &Name, path: &Written, left: usize) -> Option<Name> {
    let left = left.checked_sub(1)?;
    let (mut at, mut rest) = start(package, from, path, left)?;
    while let Some((segment, after)) = rest.split_first() {
        let child = [at.clone(), vec![segment.clone()]].concat();
        if package.modules.contains_key(&child) {
            (at, rest) = (child, after);
            continue;
        }
        let module = package.modules.get(&at)?;
        if module.items.contains(segment) {
            return Some(at);
        }
        if let Some(import) = module.imports.get(segment) {
            let whole = [import.clone(), after.to_vec()].concat();
            return follow(package, &at, &whole, left);
        }
        let globs = module.globs.iter();
        let through = |glob: &Written| {
            let whole = [glob.clone(), rest.to_vec()].concat();
            follow(package, &at, &whole, left)
        };
        // What is not found at all is a variant, a method, or made by a macro of that module.
        return globs.filter_map(through).next().or(Some(at));
    }
    Some(at)
}

/// Where a path starts, and what of it comes after that.
fn start<'a>(
    package: &Package,
    from: &Name,
    path: &'a Written,
    left: usize,
) -> Option<(Name, &'a [String])> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some((vec![], rest)),
        "self" => Some((from.clone(), rest)),
        "super" => {
            let (mut at, mut rest) = (from.clone(), path.as_slice());
            while let Some((_, after)) = rest.split_first().filter(|(it, _)| *it == "super") {
                at.pop()?;
                rest = after;
            }
            Some((at, rest))
        }
        _ => {
            let child = [from.clone(), vec![first.clone()]].concat();
            let module = package.modules.get(from)?;
            if package.modules.contains_key(&child) {
                Some((child, rest))
            } else if let Some(import) = module.imports.get(first).filter(|it| *it != path) {
                Some((follow(package, from, import, left)?, &[]))
            } else {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The circles of a package with these files.
    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let package = Package::read(folder.path()).unwrap();
        let told = |import: Import| format!("{} -> {} ({})", import.from, import.to, import.what);
        let circles = circles(&package).into_iter();
        circles
            .map(|circle| circle.into_iter().map(told).collect())
            .collect()
    }

    #[test]
    fn two_modules_that_import_each_other_are_a_circle() {
        let circles = circles_of(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use super::a::A; pub struct B;"),
            ("c.rs", "use crate::{a::A, b::B};"),
        ]);
        assert_eq!(circles, [["a -> b (crate::b::B)", "b -> a (super::a::A)"]]);
    }

    #[test]
    fn what_a_module_passes_on_is_of_the_one_that_defines_it() {
        // `b` names `A` through its parent, which only passes it on: no circle of `b` and its parent.
        let files = [
            ("lib.rs", "mod room;"),
            ("room/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("room/a.rs", "pub struct A;"),
            ("room/b.rs", "use super::A; pub struct B(A);"),
        ];
        assert!(circles_of(&files).is_empty());
        // Where the parent defines it, there is one.
        let files = [
            ("lib.rs", "mod room;"),
            ("room/mod.rs", "mod b; pub use b::B; pub struct A;"),
            ("room/b.rs", "use super::A; pub struct B(A);"),
        ];
        assert_eq!(
            circles_of(&files),
            [["room -> room::b (b::B)", "room::b -> room (super::A)"]]
        );
    }

    #[test]
    fn paths_in_bodies_and_through_imported_modules_count() {
        let circles = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b; pub fn one() { b::two() }"),
            ("b.rs", "pub fn two() { crate::a::one() }"),
        ]);
        assert_eq!(
            circles,
            [[
                "a -> b (b::two)",
                "a -> b (crate::b)",
                "b -> a (crate::a::one)"
            ]]
        );
    }

    #[test]
    fn tests_visibilities_and_other_packages_are_of_no_concern() {
        let circles = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "use std::fmt; use serde::de::Error; use crate::b::B;",
            ),
            (
                "b.rs",
                "pub struct B; #[cfg(test)] mod tests { use crate::a; use super::*; }",
            ),
        ]);
        assert!(circles.is_empty(), "{circles:?}");
    }
}
