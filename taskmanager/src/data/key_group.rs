/// The key group of a key: state belongs to key groups, so that a job can change its parallelism.
#[inline]
#[must_use]
#[allow(clippy::cast_possible_truncation)] // the result is below `key_groups`
pub fn key_group(hash: u64, key_groups: u32) -> u32 {
    (((hash >> 32) * u64::from(key_groups)) >> 32) as u32
}

/// The subtask that owns a key group: contiguous ranges of key groups, as in Flink.
#[inline]
#[must_use]
#[allow(clippy::cast_possible_truncation)] // the result is below `parallelism`
pub fn key_group_owner(group: u32, key_groups: u32, parallelism: u32) -> u32 {
    (u64::from(group) * u64::from(parallelism) / u64::from(key_groups)) as u32
}
