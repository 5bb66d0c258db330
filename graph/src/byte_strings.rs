//! Lists of byte strings for serde: each as bytes, where it would be a list of numbers otherwise. For `#[serde(with)]`.

use serde::de::Deserialize;
use serde::{Deserializer, Serializer};
use serde_bytes::{ByteBuf, Bytes};

pub(crate) fn serialize<S: Serializer>(all: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(|one| Bytes::new(one)))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
    let all = Vec::<ByteBuf>::deserialize(deserializer)?;
    Ok(all.into_iter().map(ByteBuf::into_vec).collect())
}
