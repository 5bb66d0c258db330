use std::io::{self, Write};

/// Words of a line.
pub const WORDS_PER_LINE: usize = 10;

/// Different words of the text that engines are compared on.
pub const VOCABULARY: usize = 100_000;

/// Numbers that look random and are the same in every run (splitmix64).
pub struct Random(u64);

impl Random {
    /// Begins a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number in `0.0..1.0`.
    #[allow(clippy::cast_precision_loss)] // 53 bits fit
    pub fn next_share(&mut self) -> f64 {
        (self.next_number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The word of a rank: syllables, no two ranks with one word, frequent words short.
#[must_use]
pub fn word(rank: usize) -> String {
    const CONSONANTS: &[u8] = b"btkdlmnprs";
    const VOWELS: &[u8] = b"aeiou";
    let mut rest = rank + CONSONANTS.len() * VOWELS.len();
    let mut word = String::new();
    while rest > 0 {
        let syllable = rest % (CONSONANTS.len() * VOWELS.len());
        word.push(char::from(CONSONANTS[syllable / VOWELS.len()]));
        word.push(char::from(VOWELS[syllable % VOWELS.len()]));
        rest /= CONSONANTS.len() * VOWELS.len();
    }
    word
}

/// An endless text: the word of rank `r` occurs as often as 1/`r` says (Zipf's law).
pub struct Text {
    words: Vec<String>,
    /// The share of the words up to each rank.
    shares: Vec<f64>,
    random: Random,
}

impl Text {
    /// A text over so many different words.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // ranks are small
    pub fn new(vocabulary: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=vocabulary).map(|rank| running_sum(&mut sum, 1.0 / rank as f64)).collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self { words: (0..vocabulary).map(word).collect(), shares, random: Random::new(seed) }
    }

    fn next_word(&mut self) -> &str {
        let share = self.random.next_share();
        let rank = self.shares.partition_point(|upper| *upper < share);
        &self.words[rank.min(self.words.len() - 1)]
    }

    /// Appends a line without its end.
    pub fn append_line(&mut self, line: &mut String) {
        for number in 0..WORDS_PER_LINE {
            if number > 0 {
                line.push(' ');
            }
            line.push_str(self.next_word());
        }
    }

    /// Writes lines.
    ///
    /// # Errors
    /// Writing failed.
    pub fn write_lines(&mut self, lines: u64, out: &mut impl Write) -> io::Result<()> {
        let mut line = String::new();
        for _ in 0..lines {
            line.clear();
            self.append_line(&mut line);
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

fn running_sum(sum: &mut f64, term: f64) -> f64 {
    *sum += term;
    *sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<String> = (0..VOCABULARY).map(word).collect();
        assert_eq!(words.len(), VOCABULARY);
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }

    #[test]
    fn a_text_is_the_same_every_time_and_has_frequent_words() {
        let text = || {
            let mut bytes = Vec::new();
            Text::new(1000, 42).write_lines(2000, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(text(), text());
        let first = text().split_whitespace().filter(|found| *found == word(0)).count();
        // 20,000 words, of which one in ln(1000) + 0.58 is the most frequent one.
        assert!((2400..2950).contains(&first), "{first}");
    }
}
