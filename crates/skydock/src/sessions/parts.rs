//! What is larger than an entry of a log may be goes in parts.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};

const WHOLE: u8 = 0;
const PART: u8 = 1;
const LAST: u8 = 2;
/// What a part begins with: its kind, and what it is a part of.
const HEAD: usize = 1 + 8;

/// `value` as entries of at most `limit` bytes.
pub(super) fn split(value: &Bytes, limit: usize) -> Vec<Bytes> {
    let entry = |kind: u8, group: Option<u64>, part: &[u8]| {
        let mut entry = BytesMut::with_capacity(HEAD + part.len());
        entry.put_u8(kind);
        if let Some(group) = group {
            entry.put_u64(group);
        }
        entry.extend_from_slice(part);
        entry.freeze()
    };
    if value.len() < limit {
        return vec![entry(WHOLE, None, value)];
    }
    let group = Some(rand::random());
    let parts = value.chunks(limit.saturating_sub(HEAD).max(1));
    let last = parts.len() - 1;
    parts
        .enumerate()
        .map(|(index, part)| entry(if index == last { LAST } else { PART }, group, part))
        .collect()
}

/// Puts parts together again, those of several writers beside each other.
#[derive(Debug, Default)]
pub(super) struct Assembly(HashMap<u64, BytesMut>);

impl Assembly {
    /// Takes the next entry of a log; the value, when that was the last of it. What is not an entry of ours is nothing.
    pub(super) fn add(&mut self, entry: &Bytes) -> Option<Bytes> {
        let (kind, rest) = entry.split_first()?;
        if *kind == WHOLE {
            return Some(entry.slice(1..));
        }
        let (group, part) = rest.split_first_chunk::<8>()?;
        let group = u64::from_be_bytes(*group);
        self.0.entry(group).or_default().extend_from_slice(part);
        match *kind {
            LAST => self.0.remove(&group).map(BytesMut::freeze),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_is_whole_again_whatever_comes_between() {
        let (one, two) = (Bytes::from(vec![1; 1_000]), Bytes::from(vec![2; 777]));
        let small = Bytes::from_static(b"small");
        let (first, second) = (split(&one, 100), split(&two, 100));
        assert!(first.iter().chain(&second).all(|entry| entry.len() <= 100));
        let mut entries: Vec<_> = first.iter().zip(&second).flat_map(|(a, b)| [a, b]).collect();
        entries.extend(first.iter().skip(second.len()));
        let whole = split(&small, 100);
        entries.insert(3, &whole[0]);
        let mut assembly = Assembly::default();
        let values: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| assembly.add(entry))
            .collect();
        assert_eq!(values, [small, two, one]);
        assert!(assembly.0.is_empty());
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        let mut assembly = Assembly::default();
        for wrong in [&b""[..], b"\x01", b"\x02short"] {
            assert_eq!(assembly.add(&Bytes::from_static(wrong)), None);
        }
    }
}
