//! The records' names, field order and wire types are the reference's.
//!
//! `golden/schema.txt` holds the facts: what the reference's record classes themselves write, field by
//! field. The IDL itself is not part of the published artifacts; whoever has it can compare it too.

mod common;

use std::collections::BTreeMap;

use common::{KINDS, normalised, schemas};
use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_until, take_while1};
use nom::character::complete::{char, multispace1, space0};
use nom::combinator::{all_consuming, recognize, value};
use nom::multi::{many0, many1, separated_list1};
use nom::sequence::{delimited, preceded, separated_pair, terminated};
use nom::{IResult, Parser};

/// Record name with its module → fields in wire order, everything normalised.
type Records = BTreeMap<String, Vec<(String, String)>>;

fn ours() -> Records {
    let all = schemas().into_iter().flat_map(|(module, records)| {
        records.into_iter().map(move |(name, fields)| (format!("{module}.{name}"), fields))
    });
    all.map(|(name, fields)| {
        let fields = fields.into_iter().map(|(field, wire)| (normalised(field), normalised(&wire)));
        (normalised(&name), fields.collect())
    })
    .collect()
}

fn name(input: &str) -> IResult<&str, &str> {
    take_while1(|each: char| each.is_alphanumeric() || each == '_').parse(input)
}

fn wire_type(input: &str) -> IResult<&str, &str> {
    alt((recognize((tag("vector<"), dotted, char('>'))), dotted)).parse(input)
}

fn dotted(input: &str) -> IResult<&str, &str> {
    recognize(separated_list1(char('.'), name)).parse(input)
}

/// The last part of a dotted name: `vector<org.apache.zookeeper.data.ACL>` is `vector<acl>`.
fn unqualified(wire: &str) -> String {
    let (prefix, inner) = wire.split_once('<').map_or(("", wire), |(vector, inner)| (vector, inner));
    let last = inner.rsplit('.').next().unwrap_or(inner);
    if prefix.is_empty() { normalised(last) } else { normalised(&format!("{prefix}<{last}")) }
}

/// `module.Name field:type field:type`, one record per line.
fn table(input: &str) -> IResult<&str, Records> {
    let comment = (char('#'), is_not("\n"), char('\n'));
    let field = preceded(char(' '), separated_pair(name, char(':'), wire_type));
    let record = terminated((dotted, many1(field)), char('\n'));
    let (rest, records) = preceded(many0(comment), all_consuming(many1(record))).parse(input)?;
    let records = records.into_iter().map(|(record, fields)| {
        let fields = fields.into_iter().map(|(field, wire)| (normalised(field), unqualified(wire)));
        (normalised(record), fields.collect())
    });
    Ok((rest, records.collect()))
}

/// The IDL: modules of classes of fields, with Java's comments anywhere between words.
fn idl(input: &str) -> IResult<&str, Records> {
    fn blank(input: &str) -> IResult<&str, ()> {
        let line = recognize((tag("//"), is_not("\n")));
        let block = recognize((tag("/*"), take_until("*/"), tag("*/")));
        value((), many0(alt((multispace1, line, block)))).parse(input)
    }
    fn word<'a>(text: &'static str) -> impl Parser<&'a str, Output = (), Error = nom::error::Error<&'a str>> {
        value((), delimited(blank, tag(text), blank))
    }
    fn field(input: &str) -> IResult<&str, (&str, &str)> {
        let (rest, (wire, _, field)) =
            terminated((wire_type, blank, name), (space0, word(";"))).parse(input)?;
        Ok((rest, (field, wire)))
    }
    let class = (preceded(word("class"), name), delimited(word("{"), many0(field), word("}")));
    let module = (preceded(word("module"), dotted), delimited(word("{"), many1(class), word("}")));
    let (rest, modules) = all_consuming(many1(module)).parse(input)?;
    let records = modules.into_iter().flat_map(|(module, classes)| {
        let last = module.rsplit('.').next().unwrap_or(module);
        classes.into_iter().map(move |(class, fields)| {
            let fields = fields.into_iter().map(|(field, wire)| (normalised(field), unqualified(wire)));
            (normalised(&format!("{last}.{class}")), fields.collect())
        })
    });
    Ok((rest, records.collect()))
}

#[track_caller]
fn check(ours: &Records, reference: &Records) {
    for (record, fields) in reference {
        assert_eq!(ours.get(record), Some(fields), "record {record}: ours, then the reference's");
    }
    let extra: Vec<_> = ours.keys().filter(|record| !reference.contains_key(*record)).collect();
    assert!(extra.is_empty(), "records the reference does not have: {extra:?}");
}

#[test]
fn records_have_the_references_fields_in_its_order() {
    let (_, reference) = table(include_str!("golden/schema.txt")).expect("golden/schema.txt is a table");
    check(&ours(), &reference);
}

#[test]
#[ignore = "needs the reference's IDL: ZOOKEEPER_JUTE=path/to/zookeeper.jute"]
fn records_have_the_fields_of_the_idl_in_its_order() {
    let path = std::env::var("ZOOKEEPER_JUTE").expect("ZOOKEEPER_JUTE names the reference's IDL");
    let text = std::fs::read_to_string(&path).expect("the IDL can be read");
    let (_, reference) = idl(&text).expect("the IDL parses");
    check(&ours(), &reference);
}

#[test]
fn an_idl_with_comments_and_qualified_names_parses() {
    let text = "/* head */ module org.apache.zookeeper.txn {\n class TxnA { // one\n int type; \n \
                vector<org.apache.zookeeper.data.ACL> aclList; }\n class Empty { } }";
    let (_, records) = idl(text).expect("it is an IDL");
    let fields = [("type", "int"), ("acllist", "vector<acl>")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(records.get("txn.txna"), Some(&fields.to_vec()));
    assert_eq!(records.get("txn.empty"), Some(&vec![]));
}

#[test]
fn the_tests_table_of_records_is_complete() {
    let listed: Vec<_> =
        KINDS.iter().map(|kind| normalised(&format!("{}.{}", kind.module, kind.name))).collect();
    let mut declared: Vec<_> = ours().into_keys().collect();
    declared.retain(|record| !listed.contains(record));
    assert_eq!(declared, Vec::<String>::new(), "declared, but missing in common/mod.rs");
    assert_eq!(listed.len(), ours().len());
}
