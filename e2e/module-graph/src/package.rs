//! The modules of a package, as its files declare them. Test modules are left out: they may import what they test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use syn::{Attribute, Item, ItemMod, Meta, UseTree};

use crate::paths::{Written, paths_in};

/// A module's name below the crate: `["ledger", "turn"]`. The root is empty.
pub(crate) type Name = Vec<String>;

/// A package by its modules.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) modules: BTreeMap<Name, Module>,
}

/// What a module declares, and what it names of others.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Names of the items that it defines, modules aside.
    pub(crate) items: BTreeSet<String>,
    /// Names that it has from elsewhere, and where from.
    pub(crate) imports: BTreeMap<String, Written>,
    /// Modules whose names are all imported.
    pub(crate) globs: Vec<Written>,
    /// Every path in it that may lead to another module.
    pub(crate) paths: BTreeSet<Written>,
}

impl Package {
    /// Reads the package whose `lib.rs` or `main.rs` is in this folder.
    ///
    /// # Errors
    /// A file cannot be read, or is not Rust.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut package = Self::default();
        let roots = ["lib.rs", "main.rs"].map(|name| folder.join(name));
        let Some(root) = roots.iter().find(|root| root.is_file()) else {
            bail!("there is neither a lib.rs nor a main.rs");
        };
        package.add_file(root, folder, vec![])?;
        Ok(package)
    }

    /// Adds the module of this file; the files of its children are in `children`.
    fn add_file(&mut self, file: &Path, children: &Path, name: Name) -> anyhow::Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("{}", file.display()))?;
        self.add(parsed.items, children, name)
    }

    fn add(&mut self, items: Vec<Item>, children: &Path, name: Name) -> anyhow::Result<()> {
        let mut module = Module::default();
        let items = items.into_iter().filter(|item| !is_test(attributes(item)));
        let (nested, items): (Vec<_>, Vec<_>) = items.partition(|it| matches!(it, Item::Mod(_)));
        for item in &items {
            module.note(item);
        }
        self.modules.insert(name.clone(), module);
        for item in nested {
            let Item::Mod(ItemMod { ident, content, .. }) = item else {
                continue;
            };
            let child = [name.clone(), vec![ident.to_string()]].concat();
            let folder = children.join(ident.to_string());
            match content {
                Some((_, items)) => self.add(items, &folder, child)?,
                None => self.add_file(&file_of(children, &ident.to_string())?, &folder, child)?,
            }
        }
        Ok(())
    }
}

impl Module {
    fn note(&mut self, item: &Item) {
        self.paths.extend(paths_in(item));
        match item {
            Item::Use(item) => self.import(&item.tree, &vec![]),
            Item::Struct(item) => self.define(&item.ident),
            Item::Enum(item) => self.define(&item.ident),
            Item::Union(item) => self.define(&item.ident),
            Item::Fn(item) => self.define(&item.sig.ident),
            Item::Const(item) => self.define(&item.ident),
            Item::Static(item) => self.define(&item.ident),
            Item::Type(item) => self.define(&item.ident),
            Item::Trait(item) => self.define(&item.ident),
            Item::Macro(item) => {
                if let Some(ident) = &item.ident {
                    self.define(ident);
                }
            }
            _ => {}
        }
    }

    fn define(&mut self, ident: &syn::Ident) {
        self.items.insert(ident.to_string());
    }

    fn import(&mut self, tree: &UseTree, before: &Written) {
        let with = |ident: &syn::Ident| [before.clone(), vec![ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|it| self.import(it, before)),
            UseTree::Glob(_) => {
                self.paths.insert(before.clone());
                self.globs.push(before.clone());
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.imported(before.last().cloned(), before.clone());
            }
            UseTree::Name(name) => {
                self.imported(Some(name.ident.to_string()), with(&name.ident));
            }
            UseTree::Rename(rename) => {
                self.imported(Some(rename.rename.to_string()), with(&rename.ident));
            }
        }
    }

    fn imported(&mut self, name: Option<String>, path: Written) {
        self.paths.insert(path.clone());
        self.imports.extend(name.map(|name| (name, path)));
    }
}

fn file_of(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let files = [
        folder.join(format!("{name}.rs")),
        folder.join(name).join("mod.rs"),
    ];
    let found = files.iter().find(|file| file.is_file()).cloned();
    found.with_context(|| format!("the module {name} has no file in {}", folder.display()))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}
