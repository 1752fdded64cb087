//! Which file of ours names which, read from parsed code: no circles, and in the rooms of the engine
//! and of the graph only downhill.

use crate::{files, is_test_file, shown};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use syn::visit::Visit;

/// A module's path below the crate, and the file that it lies in.
type Modules = BTreeMap<Vec<String>, String>;

/// What a file names of others: the file, and the paths as written.
type Imports = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The rooms of the engine, each of which names only those before it and itself.
const ENGINE: &[&str] = &[
    "receipt",
    "fault",
    "background",
    "readers",
    "state",
    "store",
    "context",
    "history",
    "intake",
    "delivery",
    "profile",
    "identity",
    "options",
    "handle",
    "start",
    "api",
    "offline",
];

/// The rooms of the graph, likewise.
const GRAPH: &[&str] = &["ids", "effects", "tables", "resolve", "change", "read"];

fn module_of(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
        parts.pop();
    }
    parts
}

fn modules() -> Modules {
    let all = files("src").into_iter().map(|file| shown(&file));
    all.filter(|file| file != "src/main.rs").map(|file| (module_of(&file), file)).collect()
}

/// Collects the paths of one file.
struct Paths<'a> {
    here: Vec<String>,
    modules: &'a Modules,
    found: BTreeSet<Vec<String>>,
    /// What the file passes on: names of its own, and where each comes from.
    passed_on: BTreeMap<Vec<String>, Vec<String>>,
}

fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    let is_test = |one: &syn::Attribute| {
        one.path().is_ident("test")
            || (one.path().is_ident("cfg")
                && one.parse_args::<syn::Path>().is_ok_and(|what| what.is_ident("test")))
    };
    attributes.iter().any(is_test)
}

impl Paths<'_> {
    /// From the crate on; `None` where it begins with something else.
    fn absolute(&self, written: &[String]) -> Option<Vec<String>> {
        let mut here = self.here.clone();
        match written.first()?.as_str() {
            "crate" => Some(written[1..].to_vec()),
            "self" => Some([here, written[1..].to_vec()].concat()),
            "super" => {
                let ups = written.iter().take_while(|one| *one == "super").count();
                here.truncate(here.len().checked_sub(ups)?);
                Some([here, written[ups..].to_vec()].concat())
            }
            child => {
                here.push(child.to_owned());
                self.modules.contains_key(&here).then(|| [here, written[1..].to_vec()].concat())
            }
        }
    }

    fn note(&mut self, written: &[String], known_as: Option<&syn::Ident>) {
        let Some(path) = self.absolute(written) else { return };
        match known_as {
            Some(name) => {
                let own = [self.here.clone(), vec![name.to_string()]].concat();
                self.passed_on.insert(own, path);
            }
            None => drop(self.found.insert(path)),
        }
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &mut Vec<String>, is_passed_on: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(&path.tree, before, is_passed_on);
                before.pop();
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.tree(item, before, is_passed_on));
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.note(before, None),
            syn::UseTree::Name(syn::UseName { ident }) => {
                let path = [before.clone(), vec![ident.to_string()]].concat();
                self.note(&path, Some(ident).filter(|_| is_passed_on));
            }
            syn::UseTree::Rename(syn::UseRename { ident, rename, .. }) => {
                let path = [before.clone(), vec![ident.to_string()]].concat();
                self.note(&path, Some(rename).filter(|_| is_passed_on));
            }
            syn::UseTree::Glob(_) => self.note(before, None),
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_of_tests(&item.attrs) {
            let is_passed_on = !matches!(item.vis, syn::Visibility::Inherited);
            self.tree(&item.tree, &mut Vec::new(), is_passed_on);
        }
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_of_tests(&item.attrs) {
            self.here.push(item.ident.to_string());
            syn::visit::visit_item_mod(self, item);
            self.here.pop();
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Vec<String> = path.segments.iter().map(|one| one.ident.to_string()).collect();
        if written.len() > 1 {
            self.note(&written, None);
        }
        syn::visit::visit_path(self, path);
    }
}

fn imports() -> Imports {
    let modules = modules();
    let (mut named, mut passed_on) = (BTreeMap::new(), BTreeMap::new());
    for file in files("src").iter().filter(|file| !is_test_file(file)) {
        let parsed = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
        let (name, found) = (shown(file), BTreeSet::new());
        let here = module_of(&name);
        let mut paths = Paths { here, modules: &modules, found, passed_on: BTreeMap::new() };
        paths.visit_file(&parsed);
        passed_on.append(&mut paths.passed_on);
        named.insert(name, paths.found);
    }
    let mut all = Imports::new();
    for (name, paths) in named {
        let imports = all.entry(name.clone()).or_default();
        for path in paths {
            let path = at_home(path, &passed_on);
            let module = (0..=path.len()).rev().find_map(|upto| modules.get(&path[..upto]));
            if let Some(module) = module.filter(|module| **module != name) {
                imports.entry(module.clone()).or_default().insert(path.join("::"));
            }
        }
    }
    all
}

/// A path to where it is defined, however often it was passed on.
fn at_home(mut path: Vec<String>, passed_on: &BTreeMap<Vec<String>, Vec<String>>) -> Vec<String> {
    let home = |path: &[String]| {
        (1..=path.len()).find_map(|upto| {
            let home = passed_on.get(&path[..upto])?;
            (!home.starts_with(&path[..upto]))
                .then(|| [home.clone(), path[upto..].to_vec()].concat())
        })
    };
    while let Some(next) = home(&path) {
        path = next;
    }
    path
}

/// The groups of files that name each other in a circle.
fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reachable = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut left = vec![from];
        while let Some(file) = left.pop() {
            for next in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next.clone()) {
                    left.push(next);
                }
            }
        }
        seen
    };
    let all: BTreeMap<String, BTreeSet<String>> =
        imports.keys().map(|file| (file.clone(), reachable(file))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, reached) in all.iter().filter(|(file, reached)| reached.contains(*file)) {
        let with =
            reached.iter().filter(|other| all.get(*other).is_some_and(|back| back.contains(file)));
        found.insert(with.cloned().collect());
    }
    found.into_iter().collect()
}

fn told(imports: &Imports, circle: &[String]) -> String {
    let mut lines = Vec::new();
    for from in circle {
        for (to, names) in
            imports.get(from).into_iter().flatten().filter(|(to, _)| circle.contains(to))
        {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            lines.push(format!("  {from} -> {to}: {}", names.join(", ")));
        }
    }
    format!("{} files:\n{}", circle.len(), lines.join("\n"))
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let imports = imports();
    let circles: Vec<String> = circles(&imports).iter().map(|one| told(&imports, one)).collect();
    assert!(circles.is_empty(), "\n{}", circles.join("\n\n"));
}

/// The room of a file within a folder: its first part below that.
fn room<'a>(file: &'a str, folder: &str) -> Option<&'a str> {
    let below = file.strip_prefix(folder)?;
    let first = below.split('/').next()?;
    Some(first.trim_end_matches(".rs")).filter(|first| *first != "mod")
}

fn upward(imports: &Imports, folder: &str, rooms: &[&str]) -> Vec<String> {
    let rank = |file: &str| {
        let room = room(file, folder)?;
        let rank = rooms.iter().position(|one| *one == room);
        Some(rank.unwrap_or_else(|| panic!("{file} is in a room that is not listed")))
    };
    let mut wrong = Vec::new();
    for (from, named) in imports.iter().filter(|(from, _)| from.starts_with(folder)) {
        for (to, names) in named.iter().filter(|(to, _)| to.starts_with(folder)) {
            let is_up = match (rank(from), rank(to)) {
                (Some(from), Some(to)) => to > from,
                // The head passes names on to those outside.
                (None, _) => false,
                (_, None) => true,
            };
            if is_up {
                wrong.push(format!(
                    "{from} -> {to}: {}",
                    names.iter().cloned().collect::<Vec<_>>().join(", ")
                ));
            }
        }
    }
    wrong
}

#[test]
fn the_rooms_of_engine_and_graph_name_only_those_before_them() {
    let imports = imports();
    let engine = upward(&imports, "src/engine/", ENGINE);
    let graph = upward(&imports, "src/domain/graph/", GRAPH);
    assert!(
        engine.is_empty() && graph.is_empty(),
        "\n{}\n\n{}",
        engine.join("\n"),
        graph.join("\n")
    );
}

#[test]
fn every_file_of_ours_exists_and_is_parsed() {
    let all = imports();
    assert!(all.len() > 100);
    let from = &all["src/engine/handle.rs"];
    assert!(from.contains_key("src/engine/receipt.rs"), "{from:?}");
    assert!(from.keys().all(|to| Path::new(crate::ROOT).join(to).exists()));
}
