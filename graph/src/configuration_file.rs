//! The text of a configuration file.

use std::path::Path;

use serde_norway::Value;

use crate::configuration::Configuration;

/// A configuration file of this size is none.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// Nesting beyond this is refused rather than followed.
const DEEPEST_KEY: usize = 32;

/// Names of the file in a configuration folder, of which the first that is there is read: Flink 2's and that of Flink 1.
pub const FILE_NAMES: [&str; 2] = ["config.yaml", "flink-conf.yaml"];

/// Whether a file with this name has Flink 1's form.
#[must_use]
pub fn is_old_form(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE_NAMES[1])
}

/// Reads the text of a file, in Flink 1's form or in that of Flink 2.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str, old_form: bool) -> Result<Configuration, String> {
    if old_form { parse_lines(text) } else { parse_yaml(text) }
}

/// Flink 1's form: `key: value` on each line, everything behind `#` is a comment.
fn parse_lines(text: &str) -> Result<Configuration, String> {
    let mut configuration = Configuration::default();
    for (index, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let (key, value) = content
            .split_once(": ")
            .ok_or_else(|| format!("line {}: expected `key: value`, found `{content}`", index + 1))?;
        configuration.set(key.trim(), value.trim());
    }
    Ok(configuration)
}

/// Standard YAML: nested keys are joined by dots, flat keys are taken as they are.
fn parse_yaml(text: &str) -> Result<Configuration, String> {
    let mut configuration = Configuration::default();
    let value: Value = serde_norway::from_str(text).map_err(|error| explained(text, &error.to_string()))?;
    match &value {
        Value::Null => {}
        Value::Mapping(_) => flatten(&value, String::new(), 0, &mut configuration)?,
        _ => return Err("expected keys and values, for example `parallelism.default: 4`".to_owned()),
    }
    Ok(configuration)
}

/// What the parser says of a file, with the line that is probably meant: it notices a missing colon a line later, and does not
/// say where a key is repeated.
fn explained(text: &str, error: &str) -> String {
    let repeated = error.split_once("duplicate entry with key \"").and_then(|(_, rest)| rest.split('"').next());
    if let Some(key) = repeated {
        let sets =
            |(_, line): &(usize, &str)| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
        let lines: Vec<String> = (1..).zip(text.lines()).filter(sets).map(|(number, _)| number.to_string()).collect();
        return format!("`{key}` is set more than once: lines {}", lines.join(", "));
    }
    let without_value = |(_, line): &(usize, &str)| {
        let content = line.split(" #").next().unwrap_or_default().trim();
        let starts_otherwise = content.starts_with(['#', '-', '[', ']', '{', '}', '"', '\'']);
        !content.is_empty() && !starts_otherwise && !content.contains(": ") && !content.ends_with(':')
    };
    match (1..).zip(text.lines()).find(without_value) {
        Some((number, line)) => format!("line {number}: expected `key: value`, found `{}`", line.trim()),
        None => format!("{error} (it has one `key: value` a line)"),
    }
}

fn flatten(value: &Value, key: String, depth: usize, into: &mut Configuration) -> Result<(), String> {
    if depth > DEEPEST_KEY {
        return Err(format!("`{key}` is nested too deeply"));
    }
    if let Value::Mapping(entries) = value {
        for (name, inner) in entries {
            let name = scalar(name).ok_or_else(|| format!("a key below `{key}` is not a text"))?;
            let path = if key.is_empty() { name } else { format!("{key}.{name}") };
            flatten(inner, path, depth + 1, into)?;
        }
        return Ok(());
    }
    if value.is_null() {
        return Ok(());
    }
    let text = text_of(value).ok_or_else(|| format!("`{key}` holds a list of something else than texts"))?;
    if into.raw(&key).is_some() {
        return Err(format!("`{key}` is set twice, once nested and once flat"));
    }
    into.set(key, text);
    Ok(())
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Sequence(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(",")),
        other => scalar(other),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_and_flat_keys_are_the_same() {
        let text = "taskmanager:\n  numberOfTaskSlots: 2\n  memory.process.size: 1g\nio.tmp.dirs: [/a, /b]\nx:\n";
        let read = parse_yaml(text).unwrap();
        assert_eq!(read.raw("taskmanager.numberOfTaskSlots"), Some("2"));
        assert_eq!(read.raw("taskmanager.memory.process.size"), Some("1g"));
        assert_eq!(read.raw("io.tmp.dirs"), Some("/a,/b"));
        assert_eq!(read.0.len(), 3);
    }

    #[test]
    fn wrong_files_say_where() {
        assert!(parse_yaml("a: [").unwrap_err().contains("line"));
        assert!(parse_yaml("just text").unwrap_err().contains("expected keys"));
        let missing = "jobmanager.rpc.address host\nrest.port: 1\n";
        assert_eq!(
            parse_yaml(missing).unwrap_err(),
            "line 1: expected `key: value`, found `jobmanager.rpc.address host`"
        );
        let error = parse_yaml("rest.port: 1\na: 2\nrest.port: 3\n").unwrap_err();
        assert_eq!(error, "`rest.port` is set more than once: lines 1, 3");
        assert!(parse_yaml("a.b: 1\na:\n  b: 2\n").unwrap_err().contains("set twice"));
        assert!(parse_lines("a: 1\nb\n").unwrap_err().starts_with("line 2"));
    }

    #[test]
    fn the_old_form_is_read() {
        let read = parse_lines("# comment\nrest.port: 8082 # here\n\nenv.java.opts: -Dx=y: z\n").unwrap();
        assert_eq!(read.raw("rest.port"), Some("8082"));
        assert_eq!(read.raw("env.java.opts"), Some("-Dx=y: z"));
    }
}
