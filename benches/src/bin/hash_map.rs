//! The same work as a plain program, on one thread, with a hash map of the standard library: `hash_map words FOLDER FILE`
//! counts the words of all files of a folder, `hash_map keyed KEYS EVENTS` counts events.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{File, read_dir};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use flink_examples::keyed_count::key_of;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["words", folder, output] => count_words(folder, output),
        ["keyed", keys, events] => {
            count_keys(keys.parse()?, events.parse()?);
            Ok(())
        }
        _ => Err("usage: hash_map words FOLDER FILE | hash_map keyed KEYS EVENTS".into()),
    }
}

fn count_words(folder: &str, output: &str) -> Result<(), Box<dyn Error>> {
    let mut counts = HashMap::new();
    for entry in read_dir(folder)? {
        count_file(&entry?.path(), &mut counts)?;
    }
    let mut out = BufWriter::new(File::create(output)?);
    for (word, count) in counts {
        writeln!(out, "{word} {count}")?;
    }
    Ok(out.flush()?)
}

fn count_file(path: &Path, counts: &mut HashMap<String, u64>) -> Result<(), Box<dyn Error>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut line = String::new();
    while file.read_line(&mut line)? > 0 {
        for word in line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
        line.clear();
    }
    Ok(())
}

fn count_keys(keys: u64, events: u64) {
    let mut counts: HashMap<u64, u64> = HashMap::new();
    let mut sum = 0u64;
    for event in 0..events {
        let count = counts.entry(key_of(event, keys)).or_default();
        *count += 1;
        sum = sum.wrapping_add(*count);
    }
    println!("{sum}");
}
