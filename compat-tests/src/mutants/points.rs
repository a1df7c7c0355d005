//! Places in the sources where the code can be changed a little, and how.
//!
//! Operators, conditions, guards, constants, error codes, statements that are left out, functions that
//! return at once. Left alone: tests, text for people (`Display`, `Debug`, log lines), what is evaluated by
//! the compiler, and what would not change what a program does (`reserve`).

use std::ops::Range;

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Block, Expr, ExprLit, Lit, ReturnType, Signature, Stmt, Type, UnOp};

/// What stands for the switch in the text of a [`Point`]. No Rust code has it.
pub const SWITCH: &str = "$ON";

/// What a mutant is put in with: the text before and after the code, in which [`SWITCH`] is the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The file, from the root of the workspace.
    pub file: String,
    /// The line where the code begins, from 1.
    pub line: usize,
    /// The function it is in.
    pub function: String,
    /// The code in the file.
    pub range: Range<usize>,
    /// What comes before it.
    pub before: String,
    /// What comes after it.
    pub after: String,
    /// The change, for people.
    pub change: String,
}

impl Point {
    /// What stays when code above it comes and goes.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}: {}: {}", self.file, self.function, self.change)
    }
}

/// Calls that can be left out without a difference but in speed.
const WITHOUT_EFFECT: [&str; 5] = ["reserve", "shrink_to_fit", "flush", "drop", "observe"];
/// Methods with one that gives the opposite.
const OPPOSITES: [(&str, &str); 6] = [
    ("min", "max"),
    ("is_some", "is_none"),
    ("is_ok", "is_err"),
    ("any", "all"),
    ("first", "last"),
    ("pop_front", "pop_back"),
];

/// All of a file, in the order of the text.
pub fn find(file: &str, text: &str) -> Result<Vec<Point>> {
    let parsed = syn::parse_file(text).with_context(|| format!("parse {file}"))?;
    let mut finder = Finder { file, text, names: Vec::new(), points: Vec::new() };
    finder.visit_file(&parsed);
    finder.points.sort_by_key(|point| (point.range.start, point.range.end));
    Ok(finder.points)
}

struct Finder<'a> {
    file: &'a str,
    text: &'a str,
    /// The type and the function it is in.
    names: Vec<String>,
    points: Vec<Point>,
}

impl Finder<'_> {
    fn text(&self, node: &impl Spanned) -> String {
        self.text.get(node.span().byte_range()).unwrap_or_default().to_owned()
    }

    fn add(&mut self, range: Range<usize>, before: String, after: &str, change: String) {
        let line = self.text.get(..range.start).unwrap_or_default().matches('\n').count() + 1;
        let change = change.split_whitespace().collect::<Vec<_>>().join(" ");
        let function = self.names.join("::");
        let (file, after) = (self.file.to_owned(), after.to_owned());
        self.points.push(Point { file, line, function, range, before, after, change });
    }

    /// Another expression in place of one.
    fn instead(&mut self, expr: &impl Spanned, other: &str) {
        let text = self.text(expr);
        let before = format!("(if $ON {{ {other} }} else {{ ");
        self.add(expr.span().byte_range(), before, " })", format!("`{text}` is `{other}`"));
    }

    fn condition(&mut self, expr: &Expr) {
        // A comparison is changed by itself.
        if !has_let(expr) && !matches!(expr, Expr::Binary(_) | Expr::Unary(_) | Expr::Lit(_)) {
            let text = self.text(expr);
            self.instead(expr, &format!("!({text})"));
        }
    }

    fn guard(&mut self, guard: &Expr) {
        if has_let(guard) {
            return;
        }
        let text = self.text(guard);
        let range = guard.span().byte_range();
        self.add(range.clone(), "($ON || (".to_owned(), "))", format!("guard `{text}` is true"));
        self.add(range, "(!$ON && (".to_owned(), "))", format!("guard `{text}` is false"));
    }

    /// The function returns at once.
    fn returns(&mut self, signature: &Signature, block: &Block) {
        if block.stmts.is_empty() {
            return;
        }
        let values: Vec<String> = match &signature.output {
            ReturnType::Default => vec![String::new()],
            ReturnType::Type(_, of) => defaults(of),
        };
        let start = block.brace_token.span.open().byte_range().end;
        // Where it returns this anyway, nothing is changed.
        let returned = match block.stmts.as_slice() {
            [Stmt::Expr(only, None)] => self.text(only),
            _ => String::new(),
        };
        for value in values.into_iter().filter(|value| value.is_empty() || *value != returned) {
            let change = format!("returns {}", if value.is_empty() { "at once" } else { &value });
            self.add(start..start, format!(" if $ON {{ return {value}; }} "), "", change);
        }
    }

    fn function(&mut self, signature: &Signature, attributes: &[Attribute], block: &Block) {
        if signature.constness.is_some() || is_for_tests(attributes) {
            return;
        }
        self.names.push(signature.ident.to_string());
        self.returns(signature, block);
        self.visit_block(block);
        self.names.pop();
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.attrs, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.attrs, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, &item.attrs, block);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        let is_text = of.is_some_and(|name| name.ident == "Display" || name.ident == "Debug");
        if is_text || is_for_tests(&item.attrs) {
            return;
        }
        let name = self.text(&item.self_ty);
        self.names.push(name.split('<').next().unwrap_or_default().to_owned());
        visit::visit_item_impl(self, item);
        self.names.pop();
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    // What the compiler evaluates cannot be switched at run time.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_path(&mut self, _: &'ast syn::Path) {}

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.guard(guard);
        }
        visit::visit_arm(self, arm);
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        if let Stmt::Expr(expr, Some(_)) = statement
            && has_effect(expr)
        {
            let text = self.text(statement);
            let range = statement.span().byte_range();
            self.add(range, "if !$ON { ".to_owned(), " }", format!("without `{text}`"));
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Binary(binary) if !has_let(&binary.left) && !has_let(&binary.right) => {
                let (left, right) = (self.text(&binary.left), self.text(&binary.right));
                match other_operator(&binary.op) {
                    // Both are statements, and have no value.
                    Some(other) if other.len() > 1 && other.ends_with('=') && !is_comparison(other) => {
                        self.instead(expr, &format!("{left} {other} {right}"));
                    }
                    Some(other) => self.instead(expr, &format!("({left}) {other} ({right})")),
                    None => {}
                }
            }
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_) | UnOp::Neg(_)) => {
                let inner = self.text(&unary.expr);
                self.instead(expr, &inner);
                if matches!(&*unary.expr, Expr::Lit(_)) {
                    return;
                }
            }
            Expr::If(this) => self.condition(&this.cond),
            Expr::While(this) => self.condition(&this.cond),
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
                let text = self.text(number);
                let other = if number.base10_digits() == "1" {
                    text.replacen('1', "0", 1)
                } else {
                    format!("{text} + 1")
                };
                self.instead(expr, &other);
            }
            Expr::Lit(ExprLit { lit: Lit::Bool(value), .. }) => {
                self.instead(expr, if value.value { "false" } else { "true" });
            }
            Expr::Path(path) if path.qself.is_none() => {
                let text = self.text(expr);
                match text.rsplit_once("::") {
                    Some(("Code", "BAD_ARGUMENTS")) => self.instead(expr, "Code::NO_NODE"),
                    Some(("Code", "OK")) => {}
                    Some(("Code", name)) if is_constant(name) => self.instead(expr, "Code::BAD_ARGUMENTS"),
                    Some((module, name)) if is_constant(name) && !module.contains(char::is_uppercase) => {
                        self.instead(expr, &format!("{text} + 1"));
                    }
                    None if is_constant(&text) => self.instead(expr, &format!("{text} + 1")),
                    _ => {}
                }
            }
            Expr::Call(call) if self.text(&call.func) == "Some" => self.instead(expr, "None"),
            Expr::MethodCall(call) => {
                let name = call.method.to_string();
                let other = OPPOSITES.iter().find_map(|(one, other)| {
                    if name == *one { Some(*other) } else { (name == *other).then_some(*one) }
                });
                if let Some(other) = other {
                    let range = call.method.span().byte_range();
                    let (start, whole) = (expr.span().byte_range().start, self.text(expr));
                    let mut changed = whole;
                    changed.replace_range(range.start - start..range.end - start, other);
                    self.instead(expr, &changed);
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expr);
    }
}

/// Values that a function with this result may return at once.
fn defaults(of: &Type) -> Vec<String> {
    let Type::Path(path) = of else { return Vec::new() };
    let Some(last) = path.path.segments.last() else { return Vec::new() };
    let value = match last.ident.to_string().as_str() {
        "bool" => return vec!["true".to_owned(), "false".to_owned()],
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" | "isize" => {
            return vec!["0".to_owned(), "1".to_owned()];
        }
        "Option" => "None",
        "String" => "String::new()",
        "Vec" => "Vec::new()",
        "Result" => {
            let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return Vec::new() };
            return match arguments.args.first() {
                Some(syn::GenericArgument::Type(Type::Tuple(unit))) if unit.elems.is_empty() => {
                    vec!["Ok(())".to_owned()]
                }
                Some(syn::GenericArgument::Type(of)) => {
                    defaults(of).iter().map(|value| format!("Ok({value})")).collect()
                }
                _ => Vec::new(),
            };
        }
        _ => return Vec::new(),
    };
    vec![value.to_owned()]
}

fn other_operator(operator: &BinOp) -> Option<&'static str> {
    Some(match operator {
        BinOp::Lt(_) => "<=",
        BinOp::Le(_) => "<",
        BinOp::Gt(_) => ">=",
        BinOp::Ge(_) => ">",
        BinOp::Eq(_) => "!=",
        BinOp::Ne(_) => "==",
        BinOp::And(_) => "||",
        BinOp::Or(_) => "&&",
        BinOp::Add(_) => "-",
        BinOp::Sub(_) => "+",
        BinOp::Mul(_) => "+",
        BinOp::Div(_) => "*",
        BinOp::Rem(_) => "/",
        BinOp::BitAnd(_) => "|",
        BinOp::BitOr(_) => "&",
        BinOp::Shl(_) => ">>",
        BinOp::Shr(_) => "<<",
        BinOp::AddAssign(_) => "-=",
        BinOp::SubAssign(_) => "+=",
        BinOp::BitOrAssign(_) => "&=",
        BinOp::BitAndAssign(_) => "|=",
        _ => return None,
    })
}

fn is_comparison(operator: &str) -> bool {
    ["<=", ">=", "==", "!="].contains(&operator)
}

fn is_constant(name: &str) -> bool {
    name.len() > 1 && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Whether it binds names, which what stands for it would not.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        Expr::Paren(inner) => has_let(&inner.expr),
        _ => false,
    }
}

/// Whether a statement can be left out, and that could matter.
fn has_effect(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => {
            !matches!(&*call.func, Expr::Path(path) if path.path.segments.last().is_some_and(|name| WITHOUT_EFFECT.iter().any(|other| name.ident == other)))
        }
        Expr::MethodCall(call) => !WITHOUT_EFFECT.iter().any(|name| call.method == name),
        Expr::Assign(_) => true,
        Expr::Binary(binary) => matches!(
            binary.op,
            BinOp::AddAssign(_) | BinOp::SubAssign(_) | BinOp::BitOrAssign(_) | BinOp::BitAndAssign(_)
        ),
        Expr::Try(inner) => has_effect(&inner.expr),
        Expr::Await(inner) => has_effect(&inner.base),
        _ => false,
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::copy::{Edit, edited};

    fn changes(text: &str) -> Vec<String> {
        find("src/x.rs", text).unwrap().into_iter().map(|point| point.change).collect()
    }

    #[test]
    fn small_changes_are_found_where_code_can_be_changed() {
        let of = |body: &str| changes(&format!("impl Thing {{ fn f(&mut self) -> Gone {{ {body} }} }}"));
        assert_eq!(of("a < b"), ["`a < b` is `(a) <= (b)`"]);
        assert_eq!(
            of("self.n += 2;"),
            ["`self.n += 2` is `self.n -= 2`", "without `self.n += 2;`", "`2` is `2 + 1`"]
        );
        assert_eq!(of("if self.is_on() { g() }"), ["`self.is_on()` is `!(self.is_on())`"]);
        assert_eq!(of("if let Some(x) = y && z { g() }"), [""; 0]);
        assert_eq!(
            of("match x { Some(5) if y => g(), _ => h() }"),
            ["guard `y` is true", "guard `y` is false"]
        );
        assert_eq!(of("Err(Code::NO_NODE)"), ["`Code::NO_NODE` is `Code::BAD_ARGUMENTS`"]);
        assert_eq!(
            of("n > EVENT_BYTES_MAX"),
            [
                "`n > EVENT_BYTES_MAX` is `(n) >= (EVENT_BYTES_MAX)`",
                "`EVENT_BYTES_MAX` is `EVENT_BYTES_MAX + 1`"
            ]
        );
        assert_eq!(of("x.reserve(y); tracing::info!(5 + 6);"), [""; 0]);
        assert_eq!(of("self.close();"), ["without `self.close();`"]);
    }

    #[test]
    fn functions_return_at_once_where_their_type_has_a_plain_value() {
        assert_eq!(changes("fn f() { g() }"), ["returns at once"]);
        assert_eq!(changes("fn f() -> bool { g() }"), ["returns true", "returns false"]);
        assert_eq!(changes("fn f() -> Result<(), E> { g() }"), ["returns Ok(())"]);
        assert_eq!(changes("fn f() -> Result<Option<u8>, E> { g() }"), ["returns Ok(None)"]);
        assert_eq!(changes("fn f() -> bool { false }"), ["returns true", "`false` is `true`"]);
    }

    #[test]
    fn tests_text_and_constants_are_left_alone() {
        let text = "const A: u8 = 1 + 2; #[cfg(test)] mod tests { fn f() -> bool { 1 < 2 } }\n\
                    impl Display for X { fn fmt(&self) { g(5) } } const fn c() -> u8 { 5 } enum E { A = 4 }";
        assert_eq!(changes(text), [""; 0]);
    }

    #[test]
    fn a_point_is_put_in_as_a_choice() {
        let text = "fn f() -> bool { a && b < 3 }";
        let points = find("src/x.rs", text).unwrap();
        let edits: Vec<_> = points
            .iter()
            .filter(|point| point.change.contains('`') && !point.change.contains("`3`"))
            .map(|Point { range, before, after, .. }| Edit {
                fault: 0,
                range: range.clone(),
                before: before.clone(),
                keeps: true,
                after: after.clone(),
            })
            .collect();
        let (text, _) = edited(text, &edits).unwrap();
        assert_eq!(
            text,
            "fn f() -> bool { (if $ON { (a) || (b < 3) } else { a && (if $ON { (b) <= (3) } else { b < 3 }) }) }"
        );
    }

    #[test]
    fn the_key_tells_the_function_and_not_the_line() {
        let point = find("src/x.rs", "\nimpl A { fn f() -> bool { !g() } }").unwrap().pop().unwrap();
        assert_eq!((point.line, point.key().as_str()), (2, "src/x.rs: A::f: `!g()` is `g()`"));
    }
}
