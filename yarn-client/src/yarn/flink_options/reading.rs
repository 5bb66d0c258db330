use std::ffi::OsStr;

/// How a word of ours is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// An option whose value is the next word.
    BeforeValue(String),
    /// An option with its value in the same word.
    WithValue(String, &'a OsStr),
    /// An option without a value, or one that is not known.
    Alone,
    /// Not an option: the program.
    Other,
}

/// How clap will read a word.
pub(super) fn read<'a>(definition: &clap::Command, word: &'a OsStr) -> Word<'a> {
    let Some(text) = word.to_str() else {
        return if word.as_encoded_bytes().starts_with(b"-") { Word::Alone } else { Word::Other };
    };
    if let Some(long) = text.strip_prefix("--") {
        return read_long(definition, long);
    }
    match text.strip_prefix('-') {
        Some(letters) if !letters.is_empty() => read_letters(definition, letters),
        _ => Word::Other,
    }
}

fn read_long<'a>(definition: &clap::Command, long: &'a str) -> Word<'a> {
    if long.is_empty() {
        // `--`: everything behind it is the program.
        return Word::Other;
    }
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let argument = definition.get_arguments().find(|argument| {
        argument.get_long() == Some(name) || argument.get_all_aliases().is_some_and(|all| all.contains(&name))
    });
    match (argument, value) {
        (Some(argument), None) if argument.get_action().takes_values() => Word::BeforeValue(long_name(argument)),
        (Some(argument), Some(value)) => Word::WithValue(long_name(argument), OsStr::new(value)),
        _ => Word::Alone,
    }
}

fn read_letters<'a>(definition: &clap::Command, letters: &'a str) -> Word<'a> {
    for (index, letter) in letters.char_indices() {
        let Some(argument) = definition.get_arguments().find(|argument| argument.get_short() == Some(letter)) else {
            return Word::Alone;
        };
        if !argument.get_action().takes_values() {
            continue;
        }
        let rest = &letters[index + letter.len_utf8()..];
        let value = rest.strip_prefix('=').unwrap_or(rest);
        return match rest.is_empty() {
            true => Word::BeforeValue(long_name(argument)),
            false => Word::WithValue(long_name(argument), OsStr::new(value)),
        };
    }
    Word::Alone
}

fn long_name(argument: &clap::Arg) -> String {
    argument.get_long().map_or_else(|| argument.get_short().map(String::from).unwrap_or_default(), str::to_owned)
}
