use flink::files::{InvalidUtf8, TextFileSink, TextFileSource, words};
use flink::prelude::*;

/// A word with its number of occurrences, shown as `word count`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Data)]
pub struct WordCount {
    /// The word; up to 24 bytes lie inline.
    pub word: Str,
    /// How often it occurred.
    pub count: u64,
}

impl std::fmt::Display for WordCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.word, self.count)
    }
}

/// The counts of the words in a stream of lines.
pub fn count_words<C: Chain<Out = String>>(lines: DataStream<String, C>) -> DataStream<WordCount> {
    lines
        .flat_map(|line: String, out| {
            for word in words(&line) {
                out.collect(WordCount { word: Str::new(word), count: 1 });
            }
        })
        .name("Tokenizer")
        .key_by_ref(|counted| &counted.word)
        .sum(|counted| &mut counted.count)
        .boxed()
}

/// Reads `input`, counts, and writes `output`.
pub fn build(env: &StreamExecutionEnvironment, input: &str, output: &str, overwrite: bool, invalid_utf8: InvalidUtf8) {
    env.set_runtime_mode(RuntimeMode::Batch);
    let lines = env.from_source(TextFileSource::new(input).on_invalid_utf8(invalid_utf8), "Text File");
    count_words(lines).sink_to(TextFileSink::new(output).overwrite(overwrite));
}
