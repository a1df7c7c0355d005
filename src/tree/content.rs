//! A node's name and data in one allocation: with a million small nodes, a second one each would cost more
//! than the name itself.

/// Bytes before the name: its length, and whether the data is null.
const HEADER: usize = 4;
/// Marks null data; a name is always shorter.
const NULL: u32 = 1 << 31;

/// Name and data of a node.
///
/// ```text
/// length of the name, top bit: null 4 │ name │ data
/// ```
pub(super) struct Content(Box<[u8]>);

impl Content {
    pub(super) fn new(name: &str, data: Option<&[u8]>) -> Self {
        Self::of(name.as_bytes(), data)
    }

    fn of(name: &[u8], data: Option<&[u8]>) -> Self {
        let bytes = data.unwrap_or_default();
        let mut content = Vec::with_capacity(HEADER + name.len() + bytes.len());
        content.extend_from_slice(&header(name.len(), data.is_none()));
        content.extend_from_slice(name);
        content.extend_from_slice(bytes);
        Self(content.into_boxed_slice())
    }

    #[inline]
    fn header(&self) -> u32 {
        self.0.first_chunk().map_or(0, |header| u32::from_ne_bytes(*header))
    }

    #[inline]
    fn name_end(&self) -> usize {
        HEADER + (self.header() & !NULL) as usize
    }

    /// The name as UTF-8.
    #[inline]
    pub(super) fn name(&self) -> &[u8] {
        self.0.get(HEADER..self.name_end()).unwrap_or_default()
    }

    /// The data; `None` is null.
    #[inline]
    pub(super) fn data(&self) -> Option<&[u8]> {
        let header = self.header();
        let data = self.0.get(HEADER + (header & !NULL) as usize..).unwrap_or_default();
        (header & NULL == 0).then_some(data)
    }

    /// Replaces the data: in its place where the length stays.
    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        let end = self.name_end();
        let bytes = data.unwrap_or_default();
        if let Some(place) = self.0.get_mut(end..).filter(|place| place.len() == bytes.len()) {
            place.copy_from_slice(bytes);
            if let Some(place) = self.0.first_chunk_mut() {
                *place = header(end - HEADER, data.is_none());
            }
        } else {
            *self = Self::of(self.name(), data);
        }
    }
}

fn header(name_bytes: usize, is_null: bool) -> [u8; HEADER] {
    let length = u32::try_from(name_bytes).ok().filter(|length| length & NULL == 0);
    let length = length.expect("a path is shorter than a frame");
    (length | if is_null { NULL } else { 0 }).to_ne_bytes()
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {:?}", String::from_utf8_lossy(self.name()), self.data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn name_and_data_come_back_whatever_they_were_before(
            name in ".{0,20}",
            data in proptest::collection::vec(proptest::option::of("[ab]{0,3}"), 1..6),
        ) {
            let bytes = |data: &'_ Option<String>| data.as_ref().map(|data| data.clone().into_bytes());
            let mut content = Content::new(&name, bytes(&data[0]).as_deref());
            for data in &data {
                content.set_data(bytes(data).as_deref());
                assert_eq!(content.name(), name.as_bytes());
                assert_eq!(content.data(), bytes(data).as_deref());
            }
        }
    }

    #[test]
    fn null_is_not_empty() {
        let mut content = Content::new("", None);
        assert_eq!(content.data(), None);
        content.set_data(Some(b""));
        assert_eq!(content.data(), Some(b"".as_slice()));
        content.set_data(None);
        assert_eq!(content.data(), None);
    }
}
