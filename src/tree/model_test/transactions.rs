//! Transactions of every type, most of them possible, many not.

use jute::records::data::{Acl, Id};
use jute::records::txn::{
    CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTTLTxn, CreateTxn,
    DeleteTxn, ErrorTxn, SetACLTxn, SetDataTxn, TxnHeader,
};
use jute::txn::TxnBody;
use jute::{SessionId, Zxid};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::tree::OwnerRules;

/// Few, so that transactions meet; some of them no node can have.
pub(crate) const PATHS: &[&str] = &[
    "",
    "/",
    "//",
    "//a",
    "a",
    "/a",
    "/a/",
    "/a//b",
    "/a/b",
    "/a/b/c",
    "/a/b/ü😀",
    "/x",
    "/x/y",
    "/zookeeper",
    "/zookeeper/config",
    "/zookeeper/zookeeper_limits",
    "/zookeeper/quota",
    "/zookeeper/quota/zookeeper_limits",
    "/zookeeper/quota/zookeeper_stats",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/quota/a/b",
    "/zookeeper/quota/a/b/zookeeper_limits",
    "/zookeeper/quota/a/b/zookeeper_stats",
    "/zookeeper/quotaX",
    "/zookeeper/quotaX/zookeeper_limits",
    "/zookeeper/quotaX/zookeeper_stats",
];

/// Sessions, and numbers that mean something else in an owner field.
const SESSIONS: &[i64] =
    &[0x0100_0000_0000_0001, 0x0200_0000_0000_0002, 0, i64::MIN, -1, 0xFF00_0000_0000_1234_u64.cast_signed()];

const DATA: &[&str] = &[
    "",
    "x",
    "some more data",
    "count=3,bytes=7",
    "count=9223372036854775807,bytes=-9223372036854775808",
    "count=1,bytes=2=;byteHardLimit=3;countHardLimit=4",
    "count=5=6,bytes,;=;x=+7",
];

/// Both switches, all ways.
pub(crate) fn rules() -> impl Strategy<Value = OwnerRules> {
    any::<(bool, bool)>().prop_map(|(extended_types, emulate_353)| OwnerRules { extended_types, emulate_353 })
}

/// Up to `count` transactions with growing zxids.
pub(crate) fn transactions(count: usize) -> impl Strategy<Value = Vec<(TxnHeader, TxnBody)>> {
    vec((select(SESSIONS), 1..3i64, any::<u16>(), body(true)), 1..count).prop_map(|steps| {
        let mut zxid = 0;
        let headers = steps.into_iter().map(|(session, step, time, body)| {
            zxid += step;
            let header = TxnHeader {
                client_id: SessionId(session),
                cxid: 0,
                zxid: Zxid(zxid),
                time: time.into(),
                r#type: body.op().0,
            };
            (header, body)
        });
        headers.collect()
    })
}

/// A header for the `index`-th transaction.
pub(crate) fn header(index: usize) -> TxnHeader {
    TxnHeader { zxid: Zxid(index as i64 + 1), ..TxnHeader::default() }
}

/// A plain creation.
pub(crate) fn creation(path: &str, data: &str) -> TxnBody {
    TxnBody::Create2(CreateTxn {
        path: Some(path.into()),
        data: Some(data.into()),
        parent_cversion: -1,
        ..CreateTxn::default()
    })
}

/// New data.
pub(crate) fn new_data(path: &str, data: &str) -> TxnBody {
    TxnBody::SetData(SetDataTxn { path: Some(path.into()), data: Some(data.into()), version: 1 })
}

fn path() -> impl Strategy<Value = Option<String>> {
    prop_oneof![30 => select(PATHS).prop_map(|path| Some(path.to_owned())), 1 => Just(None)]
}

fn data() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![6 => select(DATA).prop_map(|data| Some(data.into())), 1 => Just(None)]
}

fn acl() -> impl Strategy<Value = Option<Vec<Acl>>> {
    let entry = |(perms, id): (i32, &str)| Acl {
        perms,
        id: Id { scheme: Some("world".into()), id: Some(id.into()) },
    };
    let list = vec(select(vec![(31, "anyone"), (1, "anyone"), (9, "else")]).prop_map(entry), 0..3);
    prop_oneof![4 => list.prop_map(Some), 1 => Just(None)]
}

fn cversion() -> impl Strategy<Value = i32> {
    prop_oneof![6 => 0..6, 2 => Just(-1), 1 => select(vec![i32::MIN, -2, i32::MAX - 1, i32::MAX])]
}

fn body(multi: bool) -> BoxedStrategy<TxnBody> {
    let create = || {
        (path(), data(), acl(), any::<bool>(), cversion()).prop_map(
            |(path, data, acl, ephemeral, parent_cversion)| CreateTxn {
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            },
        )
    };
    let creations = prop_oneof![
        create().prop_map(TxnBody::Create),
        create().prop_map(TxnBody::Create2),
        create().prop_map(|CreateTxn { path, data, acl, parent_cversion, .. }| {
            TxnBody::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion })
        }),
        (create(), select(vec![1, 1000, (1 << 40) - 1, 0, -5, 1 << 41])).prop_map(|(txn, ttl)| {
            let CreateTxn { path, data, acl, parent_cversion, .. } = txn;
            TxnBody::CreateTtl(CreateTTLTxn { path, data, acl, parent_cversion, ttl })
        }),
    ];
    let deletions = path().prop_flat_map(|path| {
        let txn = DeleteTxn { path };
        select(vec![TxnBody::Delete(txn.clone()), TxnBody::DeleteContainer(txn)])
    });
    let new_data = (path(), data(), any::<i32>()).prop_flat_map(|(path, data, version)| {
        let txn = SetDataTxn { path, data, version };
        prop_oneof![4 => Just(TxnBody::SetData(txn.clone())), 1 => Just(TxnBody::Reconfig(txn))]
    });
    let new_acl = (path(), acl(), any::<i32>())
        .prop_map(|(path, acl, version)| TxnBody::SetAcl(SetACLTxn { path, acl, version }));
    let others = prop_oneof![
        any::<i32>().prop_map(|err| TxnBody::Error(ErrorTxn { err })),
        any::<i32>().prop_map(|time_out| TxnBody::CreateSession(CreateSessionTxn { time_out })),
        (path(), any::<i32>()).prop_map(|(path, version)| TxnBody::Check(CheckVersionTxn { path, version })),
    ];
    let closes = prop_oneof![
        Just(None),
        Just(Some(CloseSessionTxn { paths2delete: None })),
        vec(path(), 0..3).prop_map(|paths| Some(CloseSessionTxn { paths2delete: Some(paths) })),
    ]
    .prop_map(TxnBody::CloseSession);
    let single = prop_oneof![
        12 => creations, 4 => deletions, 4 => new_data, 2 => new_acl, 1 => others, 1 => closes
    ];
    if !multi {
        return single.boxed();
    }
    prop_oneof![8 => single, 1 => vec(body(false), 0..5).prop_map(TxnBody::Multi)].boxed()
}
