//! What a source uses: every path of every import, type, expression and macro, to the end of the file, but
//! for what is compiled only in tests.

use std::collections::BTreeSet;
use std::path::Path;

use syn::visit::Visit;

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Paths in this crate, written out from `crate` on, and all others as they stand there.
    pub(super) used: BTreeSet<Vec<String>>,
    /// Modules in files of their own that only tests have: where they lie, without `.rs`, or as `#[path]` says.
    pub(super) test_modules: Vec<String>,
}

/// Reads a file, named as below `src`.
pub(super) fn read(file: &str, text: &str) -> Source {
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{file}: {error}"));
    let mut reader = Reader { module: module_of(file), file, source: Source::default() };
    reader.visit_file(&parsed);
    reader.source
}

/// The module that a file is: `net/accept.rs` is `net::accept`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').filter(|name| *name != "lib").map(ToOwned::to_owned).collect()
}

struct Reader<'a> {
    module: Vec<String>,
    file: &'a str,
    source: Source,
}

impl Reader<'_> {
    /// Notes a path as it was written here.
    fn note(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let mut absolute = match first.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.module.clone(),
            _ => {
                self.source.used.insert(path.to_vec());
                return;
            }
        };
        if first == "super" {
            absolute.pop();
        }
        for name in rest {
            match name.as_str() {
                "super" => drop(absolute.pop()),
                _ => absolute.push(name.clone()),
            }
        }
        absolute.insert(0, "crate".to_owned());
        self.source.used.insert(absolute);
    }

    fn note_tree(&mut self, before: &mut Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_tree(before, &path.tree);
                before.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.note_tree(before, item)),
            syn::UseTree::Name(syn::UseName { ident, .. })
            | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                before.push(ident.to_string());
                self.note(before);
                before.pop();
            }
            _ => self.note(before),
        }
    }

    /// Where a module lies that this file declares.
    fn file_of(&self, module: &syn::ItemMod) -> String {
        let directory = match self.file.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/"),
            None => String::new(),
        };
        let given = module.attrs.iter().find_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
                _ => None,
            },
            _ => None,
        });
        match given {
            Some(path) => directory + path.trim_end_matches(".rs"),
            None => [&self.module[..], &[module.ident.to_string()]].concat().join("/"),
        }
    }
}

/// Whether an item is compiled only in tests.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        // `cfg(any(test, ...))` and `cfg(not(test))` are compiled elsewhere too.
        let condition = list.tokens.to_string().replace(' ', "");
        list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    })
}

fn attributes_of(item: &syn::Item) -> &[syn::Attribute] {
    use syn::Item;
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes_of(item)) {
            syn::visit::visit_item(self, item);
        } else if let syn::Item::Mod(module) = item
            && module.content.is_none()
        {
            let file = self.file_of(module);
            self.source.test_modules.push(file);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            syn::visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        syn::visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tree(&mut Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&names);
        syn::visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in crate::room)` uses nothing.
    }

    /// The tokens of a macro are not parsed; what they use is seen from `crate` or `super` on.
    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        let tokens = called.tokens.to_string();
        let words: Vec<&str> = tokens.split_whitespace().collect();
        for (index, word) in words.iter().enumerate() {
            let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
            if matches!(word, "crate" | "super") {
                let names = words[index + 1..].chunks(2).map_while(|pair| match pair {
                    ["::", name] => Some(name.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_')),
                    _ => None,
                });
                let path: Vec<_> = std::iter::once(word).chain(names).map(ToOwned::to_owned).collect();
                self.note(&path);
            }
        }
    }
}

/// Whether `file` is one of these modules, or lies in one.
pub(super) fn lies_in(file: &str, modules: &[String]) -> bool {
    let file = Path::new(file.trim_end_matches(".rs"));
    modules.iter().any(|module| file.starts_with(module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn uses(file: &str, text: &str, expected: &[&str]) {
        let used: Vec<_> = read(file, text).used.iter().map(|path| path.join("::")).collect();
        assert_eq!(used, expected);
    }

    #[test]
    fn imports_are_read_however_they_are_nested() {
        uses(
            "net/accept.rs",
            "use crate::{tree::{self, Tree}, request as r}; use super::frame::*; use super::super::zab::Zab;",
            &[
                "crate::net::frame",
                "crate::request",
                "crate::tree::Tree",
                "crate::tree::self",
                "crate::zab::Zab",
            ],
        );
    }

    #[test]
    fn paths_in_types_expressions_and_macros_are_read() {
        uses(
            "net/mod.rs",
            "fn f(a: crate::tree::Tree) -> Vec<u8> { crate::zab::run(); println!(\"{}\", crate::disk::open(1)) }",
            &["Vec", "crate::disk::open", "crate::tree::Tree", "crate::zab::run", "println", "u8"],
        );
    }

    #[test]
    fn what_only_tests_have_is_left_out_and_nothing_behind_it() {
        uses(
            "net/mod.rs",
            "#[cfg(test)] use crate::sim; #[cfg(test)] mod t { use crate::tools; } #[cfg(not(test))] use crate::zab;
             use crate::tree;",
            &["crate::tree", "crate::zab"],
        );
    }

    #[test]
    fn modules_of_tests_are_found() {
        let text = "#[cfg(test)] mod a_test; #[cfg(test)] #[path = \"b_test.rs\"] mod tests; mod c;";
        assert_eq!(read("net/mod.rs", text).test_modules, ["net/a_test", "net/b_test"]);
        assert_eq!(read("net/frame.rs", text).test_modules, ["net/frame/a_test", "net/b_test"]);
        let modules = ["net/a_test".to_owned()];
        assert!(lies_in("net/a_test.rs", &modules) && lies_in("net/a_test/model.rs", &modules));
        assert!(!lies_in("net/a_test_of_mine.rs", &modules));
    }
}
