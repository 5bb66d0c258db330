//! Counts words: maximal runs of alphanumeric characters.

use clap::Parser;
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
}

fn main() -> Result<(), BoxError> {
    let Arguments { input, output, overwrite } = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment()?;
    wordcount::build(&env, &input, &output, overwrite);
    env.execute("WordCount")?;
    Ok(())
}
