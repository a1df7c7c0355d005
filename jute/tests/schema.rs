//! The records' names, field order and wire types are the reference's.
//!
//! `golden/schema.txt` holds the facts: what the reference's record classes themselves write, field by
//! field. `compat-tests/tests/records.rs` has it written again and compared.

mod common;

use std::collections::BTreeMap;

use common::{KINDS, normalised, schemas};
use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while1};
use nom::character::complete::char;
use nom::combinator::{all_consuming, recognize};
use nom::multi::{many0, many1, separated_list1};
use nom::sequence::{preceded, separated_pair, terminated};
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
fn the_tests_table_of_records_is_complete() {
    let listed: Vec<_> =
        KINDS.iter().map(|kind| normalised(&format!("{}.{}", kind.module, kind.name))).collect();
    let mut declared: Vec<_> = ours().into_keys().collect();
    declared.retain(|record| !listed.contains(record));
    assert_eq!(declared, Vec::<String>::new(), "declared, but missing in common/mod.rs");
    assert_eq!(listed.len(), ours().len());
}
