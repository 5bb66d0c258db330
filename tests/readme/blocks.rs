const README: &str = include_str!("../../README.md");

/// What stands between two fences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The language behind the opening fence.
    pub(crate) language: String,
    /// The lines, each with its end.
    pub(crate) text: String,
}

/// The blocks below a heading of the second level.
pub(crate) fn of_section(heading: &str) -> Vec<Block> {
    let marked = format!("## {heading}");
    let lines = README.lines().skip_while(|line| *line != marked).skip(1);
    let found = blocks(lines.take_while(|line| !line.starts_with("## ")));
    assert!(!found.is_empty(), "the README has no section `{heading}` with blocks");
    found
}

fn blocks<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in lines {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => {
                inside = true;
                found.push(Block { language: language.to_owned(), text: String::new() });
            }
            None if inside => found.last_mut().unwrap().text.extend([line, "\n"]),
            None => {}
        }
    }
    assert!(!inside, "a block has no end");
    found
}

/// Whether a line of output is what a line of the README shows.
pub(crate) fn shows(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn blocks_are_found() {
    let found = blocks("a\n```sh\nls\npwd\n```\nb\n```text\n```\n".lines());
    let texts: Vec<_> = found.iter().map(|block| (block.language.as_str(), block.text.as_str())).collect();
    assert_eq!(texts, [("sh", "ls\npwd\n"), ("text", "")]);
}

#[test]
fn dots_stand_for_anything() {
    let check = |pattern, line, expect| assert_eq!(shows(pattern, line), expect, "{pattern} {line}");
    check("a b", "a b", true);
    check("a b", "a b c", false);
    check("a … c", "a b c", true);
    check("a … c", "a c", false);
    check("…a…", "cab", true);
    check("…a…b", "cab", true);
    check("…b…b", "cab", false);
}
