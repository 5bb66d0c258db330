use std::collections::BTreeMap;

use super::*;
use crate::data::Key;

type Counts = KeyedTable<(String, u64)>;

fn add(table: &mut Counts, key: &str, hash: impl Fn(&str) -> u64) {
    match table.entry(hash(key), |value| value.0 == key, |value| hash(&value.0)) {
        Entry::Occupied(value) => value.1 += 1,
        Entry::Vacant(place) => {
            place.insert((key.to_owned(), 1));
        }
    }
}

fn good(key: &str) -> u64 {
    key.to_owned().key_hash()
}

fn filled(keys: u64, hash: impl Fn(&str) -> u64) -> (Counts, BTreeMap<String, u64>) {
    let (mut table, mut expected) = (KeyedTable::default(), BTreeMap::new());
    for n in 0..keys * 3 {
        let key = format!("key {}", n * 7919 % keys);
        add(&mut table, &key, &hash);
        *expected.entry(key).or_default() += 1;
    }
    (table, expected)
}

fn contents(table: &mut Counts) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    table.drain(|(key, count)| {
        assert!(counts.insert(key, count).is_none());
        true
    });
    counts
}

#[test]
fn it_counts_as_a_map_does() {
    for keys in [1, 40, 41, 1000, 1281, 100_000] {
        let (mut table, expected) = filled(keys, good);
        assert_eq!(table.len(), expected.len());
        assert_eq!(contents(&mut table), expected);
        assert!(table.is_empty());
    }
}

#[test]
fn hashes_that_agree_cost_time_and_not_memory() {
    for bits in [0, 7, 1 << 23, 1 << 24, 0xff << 40, u64::MAX << 32] {
        let (mut table, expected) = filled(3000, |key| good(key) & bits);
        assert!(table.table_bytes() < 4 << 20, "{} bytes", table.table_bytes());
        assert_eq!(contents(&mut table), expected);
    }
}

#[test]
fn a_step_of_growth_moves_one_segment() {
    let mut table = KeyedTable::<u64>::default();
    let moved = std::cell::Cell::new(0);
    let mut most = 0;
    for key in 0..200_000_u64 {
        moved.set(0);
        let hash_of = |value: &u64| {
            moved.set(moved.get() + 1);
            value.key_hash()
        };
        if let Entry::Vacant(place) = table.entry(key.key_hash(), |value| *value == key, hash_of) {
            place.insert(key);
        }
        most = most.max(moved.get());
    }
    assert_eq!(table.len(), 200_000);
    assert!(most > 0 && most <= KeyedTable::<u64>::MAX_SEGMENT_SLOTS, "{most} values were moved for one record");
    assert!(table.table_bytes() < 200_000 * 2 * KeyedTable::<u64>::BYTES_A_KEY, "{} bytes", table.table_bytes());
}

#[test]
fn draining_can_stop_and_go_on_and_the_memory_is_used_again() {
    let (mut table, expected) = filled(5000, good);
    let bytes = table.table_bytes();
    for _ in 0..2 {
        let mut counts = BTreeMap::new();
        while !table.is_empty() {
            let mut budget = 7;
            table.drain(|(key, count)| {
                counts.insert(key, count);
                budget -= 1;
                budget > 0
            });
        }
        assert_eq!(counts, expected);
        for (key, count) in &expected {
            (0..*count).for_each(|_| add(&mut table, key, good));
        }
        assert_eq!((table.len(), table.table_bytes()), (expected.len(), bytes));
    }
}

#[test]
fn each_value_is_dropped_once() {
    let counter = std::rc::Rc::new(());
    for drained in [0, 1, 700, 3000] {
        let mut table = KeyedTable::default();
        for key in 0..3000_u64 {
            let hash_of = |value: &(u64, _)| value.0.key_hash();
            if let Entry::Vacant(place) = table.entry(key.key_hash(), |value| value.0 == key, hash_of) {
                place.insert((key, counter.clone()));
            }
        }
        let mut left = drained;
        if left > 0 {
            table.drain(|_| {
                left -= 1;
                left > 0
            });
        }
        assert_eq!(std::rc::Rc::strong_count(&counter), 1 + 3000 - drained);
        drop(table);
        assert_eq!(std::rc::Rc::strong_count(&counter), 1);
    }
}

#[test]
fn wide_values_are_counted_too() {
    let mut table = KeyedTable::<[u64; 100]>::default();
    const { assert!(KeyedTable::<[u64; 100]>::MAX_SEGMENT_SLOTS < 256) };
    for key in (0..5000_u64).chain(0..5000) {
        match table.entry(key.key_hash(), |value| value[0] == key, |value| value[0].key_hash()) {
            Entry::Occupied(value) => value[99] += 1,
            Entry::Vacant(place) => {
                place.insert([key; 100]);
            }
        }
    }
    let mut seen = 0;
    table.drain(|value| {
        seen += 1;
        value[99] == value[0] + 1
    });
    assert_eq!(seen, 5000);
}
