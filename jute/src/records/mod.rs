//! Every record of `zookeeper.jute`, in files named as its modules. A list here reads like the IDL:
//! `record! { Name { field: type, … } }`; field order is wire order.

pub mod data;
pub mod persistence;
pub mod proto;
pub mod quorum;
pub mod txn;

use crate::ids::{SessionId, Zxid};
use crate::read::{DecodeError, Reader};
use crate::write;

/// jute's `ustring`; `None` is null.
pub type Ustring = Option<String>;
/// jute's `buffer`; `None` is null, which is not the same as empty.
pub type Buffer = Option<Vec<u8>>;
/// jute's `vector<T>`; `None` is null.
pub type Vector<T> = Option<Vec<T>>;

/// A value with a jute encoding: a record, or a field of one.
pub trait Record: Sized {
    /// Its type as the IDL writes it, for the schema test.
    fn wire_type() -> String;

    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// Decodes from where the reader stands.
    ///
    /// # Errors
    /// When the bytes end early or hold an impossible length.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The encoding as a fresh vector.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

macro_rules! primitive {
    ($type:ty, $wire:literal, |$value:ident, $out:ident| $encode:expr, |$reader:ident| $decode:expr) => {
        impl Record for $type {
            fn wire_type() -> String {
                $wire.to_owned()
            }
            fn encode(&self, $out: &mut Vec<u8>) {
                let $value = self;
                $encode
            }
            fn decode($reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                $decode
            }
        }
    };
}

primitive!(i32, "int", |value, out| write::int(out, *value), |reader| reader.int());
primitive!(i64, "long", |value, out| write::long(out, *value), |reader| reader.long());
primitive!(Zxid, "long", |value, out| write::long(out, value.0), |reader| reader.long().map(Zxid));
primitive!(SessionId, "long", |value, out| write::long(out, value.0), |reader| reader.long().map(SessionId));
primitive!(bool, "boolean", |value, out| write::boolean(out, *value), |reader| reader.boolean());
primitive!(Ustring, "ustring", |value, out| write::ustring(out, value.as_deref()), |reader| Ok(reader
    .ustring()?
    .map(std::borrow::Cow::into_owned)));
primitive!(Buffer, "buffer", |value, out| write::buffer(out, value.as_deref()), |reader| Ok(reader
    .buffer()?
    .map(<[u8]>::to_vec)));

/// Marks what may stand inside a `vector<…>`: bytes may not, they are a `buffer`.
pub trait Element: Record {}
impl Element for Ustring {}

impl<T: Element> Record for Vector<T> {
    fn wire_type() -> String {
        format!("vector<{}>", T::wire_type())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Some(elements) = self else { return write::int(out, -1) };
        write::int(out, write::length(elements.len()));
        for element in elements {
            element.encode(out);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let Some(count) = reader.vector_length()? else { return Ok(None) };
        // An element takes at least 4 bytes but more in memory: grow with what really decodes.
        let mut elements = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            elements.push(T::decode(reader)?);
        }
        Ok(Some(elements))
    }
}

macro_rules! record {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name { $($(#[$field_doc])* #[allow(missing_docs)] pub $field: $type),* }

        impl $crate::records::Record for $name {
            fn wire_type() -> String {
                concat!(stringify!($name)).to_owned()
            }
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::records::Record::encode(&self.$field, out);)*
            }
            fn decode(reader: &mut $crate::read::Reader<'_>) -> Result<Self, $crate::read::DecodeError> {
                Ok(Self { $($field: $crate::records::Record::decode(reader)?),* })
            }
        }

        impl $crate::records::Element for $name {}

        impl $name {
            /// Field names and wire types in order, for the schema test.
            #[must_use]
            pub fn schema() -> Vec<(&'static str, String)> {
                vec![$((stringify!($field), <$type as $crate::records::Record>::wire_type())),*]
            }
        }
    )*
        /// Every record declared in this file, with its schema.
        #[must_use]
        pub fn schemas() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
            vec![$((stringify!($name), $name::schema())),*]
        }
    };
}
pub(crate) use record;
