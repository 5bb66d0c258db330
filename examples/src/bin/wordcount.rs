//! Counts words: maximal runs of alphanumeric characters.

use clap::{Parser, ValueEnum};
use flink::files::{InvalidUtf8, SKIPPED_LINES};
use flink::prelude::*;
use flink_examples::wordcount;

/// Counts the words of text files and writes lines `word count`.
#[derive(Parser)]
struct Arguments {
    /// File, folder or pattern to read
    #[arg(long, value_name = "URI")]
    input: String,
    /// Folder to write
    #[arg(long, value_name = "URI")]
    output: String,
    /// Replace what is in the folder
    #[arg(long)]
    overwrite: bool,
    /// What to do with bytes that are not UTF-8
    #[arg(long, value_enum, default_value_t, value_name = "POLICY")]
    invalid_utf8: Policy,
}

/// What to do with bytes that are not UTF-8.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Policy {
    /// End with an error that names file and byte
    #[default]
    Fail,
    /// Put U+FFFD, the replacement character, in their place
    Replace,
    /// Leave out the line, and tell how many there were (accumulator skipped_lines)
    Skip,
}

impl From<Policy> for InvalidUtf8 {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Fail => Self::Fail,
            Policy::Replace => Self::Replace,
            Policy::Skip => Self::SkipAndCount,
        }
    }
}

/// An error, with the option of this program for what it names of the API.
struct Advised(ExecuteError);

impl std::fmt::Debug for Advised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:?}", self.0);
        f.write_str(&text)?;
        for (name, option) in
            [("TextFileSink::overwrite", "--overwrite"), ("TextFileSource::on_invalid_utf8", "--invalid-utf8")]
        {
            if text.contains(name) {
                write!(f, "\n{name} is {option} here")?;
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Advised> {
    let Arguments { input, output, overwrite, invalid_utf8 } = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment().map_err(Advised)?;
    wordcount::build(&env, &input, &output, overwrite, invalid_utf8.into());
    let result = env.execute("WordCount").map_err(Advised)?;
    // Nobody else tells of them where the program was started by itself.
    if let Ok(skipped @ 1..) = result.long(SKIPPED_LINES) {
        eprintln!("wordcount: lines left out that are not UTF-8: {skipped}");
    }
    Ok(())
}
