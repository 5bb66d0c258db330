use std::collections::BTreeMap;

use flink::{Data, Key, Str};
use flink_taskmanager::chunk::{Chunk, Element};

/// A record with something of everything.
#[derive(Debug, Clone, PartialEq, Data)]
struct Everything {
    name: String,
    short: Str,
    tags: Vec<String>,
    size: Option<u64>,
    outcome: Result<char, String>,
    shape: Shape,
    pair: (i32, f64),
    fixed: [u16; 3],
    flags: Vec<bool>,
    counts: BTreeMap<Str, i64>,
    nothing: (),
    inner: Box<Inner>,
}

#[derive(Debug, Clone, PartialEq, Data)]
enum Shape {
    Point,
    Circle(f32),
    Named { name: String, corners: Vec<(i8, i8)> },
}

#[derive(Debug, Clone, PartialEq, Eq, Data, Key)]
struct Inner {
    id: u128,
    path: Vec<Str>,
}

/// Chunks of records as they come from another host; the first byte chooses their type.
pub fn records(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    match kind % 5 {
        0 => check::<Everything>(bytes),
        1 => check::<Inner>(bytes),
        2 => check::<String>(bytes),
        3 => check::<(Str, u64)>(bytes),
        _ => check::<Vec<Option<()>>>(bytes),
    }
}

fn check<T: Data>(bytes: &[u8]) {
    let element = Element::<T>::decode(bytes, Chunk::default());
    let Ok(Element::Chunk(chunk)) = &element else { return };
    assert!(chunk.hashes.is_empty() || chunk.hashes.len() == chunk.records.len());
    let held = chunk.records.capacity() * size_of::<T>() + chunk.records.iter().map(Data::heap_bytes).sum::<usize>();
    assert!(held <= 64 * bytes.len() + 4096, "{held} bytes are held for {} that came", bytes.len());
    let mut first = Vec::new();
    if let Ok(element) = &element {
        element.encode(&mut first);
    }
    let mut second = Vec::new();
    let again = Element::<T>::decode(&first, Chunk::default()).expect("what was written can be read");
    again.encode(&mut second);
    assert!(first == second, "records change when they are read");
}

fn seed<T: Data>(kind: u8, records: Vec<T>, hashes: Vec<u64>) -> Vec<u8> {
    let mut input = vec![kind];
    Element::Chunk(Chunk { records, hashes }).encode(&mut input);
    input
}

/// Chunks of each type.
pub fn seeds() -> Vec<Vec<u8>> {
    let inner = Inner { id: 7, path: vec!["a".into(), "b".into()] };
    let everything = |shape: Shape, size: Option<u64>| Everything {
        name: "näme".to_owned(),
        short: "s".into(),
        tags: vec!["x".to_owned(), String::new()],
        size,
        outcome: if size.is_some() { Ok('€') } else { Err("no".to_owned()) },
        shape,
        pair: (-1, 0.5),
        fixed: [1, 2, 3],
        flags: vec![true, false],
        counts: BTreeMap::from([("k".into(), -5)]),
        nothing: (),
        inner: Box::new(inner.clone()),
    };
    let named = Shape::Named { name: "n".to_owned(), corners: vec![(1, -1)] };
    let all = vec![everything(Shape::Point, None), everything(Shape::Circle(1.0), Some(3)), everything(named, None)];
    vec![
        seed(0, all, Vec::new()),
        seed(1, vec![inner.clone(), inner], vec![1, 2]),
        seed(2, vec!["one".to_owned(), String::new()], Vec::new()),
        seed(3, vec![(Str::from("word"), 7_u64)], vec![99]),
        seed(4, vec![vec![Some(()), None]], Vec::new()),
        vec![0, 2],
    ]
}
