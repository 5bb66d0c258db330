//! Writes the text that WordCount is measured on: `words FOLDER LINES`, ten words a line in four files, the same bytes at
//! every call.

use std::error::Error;
use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::Path;

use flink_benches::text::{Text, VOCABULARY};

const FILES: u64 = 4;
const SEED: u64 = 42;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, lines] = arguments.as_slice() else { return Err("usage: words FOLDER LINES".into()) };
    let lines: u64 = lines.parse()?;
    create_dir_all(folder)?;
    let mut text = Text::new(VOCABULARY, SEED);
    for file in 0..FILES {
        let path = Path::new(folder).join(format!("part-{file}.txt"));
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        text.write_lines(lines * (file + 1) / FILES - lines * file / FILES, &mut out)?;
        out.flush()?;
    }
    Ok(())
}
