//! What is refused before anything of a program runs.

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::executor::ExecuteError;
use crate::stream_graph::{NodeInput, StreamGraph};

/// Calls that meant nothing where they stood.
pub(crate) fn check_mistakes(graph: &StreamGraph) -> Result<(), ExecuteError> {
    graph.mistakes.first().map_or(Ok(()), |mistake| Err(ExecuteError::Program(mistake.clone())))
}

/// Only process functions have side outputs, and only as the last operator of their node.
pub(crate) fn check_side_outputs<'a>(
    graph: &StreamGraph,
    inputs: impl Iterator<Item = &'a NodeInput>,
) -> Result<(), ExecuteError> {
    for input in inputs {
        let Some(tag) = &input.tag else { continue };
        if graph.last_operator(input.node).is_none_or(|last| !last.has_side_outputs) {
            let operator = graph.operator_name(input.node, usize::MAX);
            return Err(ExecuteError::Program(format!(
                "side output `{tag}` is asked of `{operator}`, which is not a process function: call `side_output` on the \
                 stream that `process` gave, `let main = stream.process(function).boxed()`"
            )));
        }
    }
    Ok(())
}

/// What several operators read, each has to get a copy of.
pub(crate) fn check_clones<'a>(
    graph: &'a StreamGraph,
    inputs: impl Iterator<Item = &'a NodeInput>,
) -> Result<(), ExecuteError> {
    let mut read = BTreeSet::new();
    for input in inputs {
        let tag = input.tag.as_deref();
        if !read.insert((input.node, tag)) && graph.any_cloner(input.node, tag).is_none() {
            let operator = graph.operator_name(input.node, usize::MAX);
            let what =
                tag.map_or_else(|| format!("`{operator}`"), |tag| format!("side output `{tag}` of `{operator}`"));
            return Err(ExecuteError::Program(format!(
                "{what} is read more than once: ask for the stream once and `clone` it, so that each reader gets copies"
            )));
        }
    }
    Ok(())
}

/// The program's arguments, which every worker's program gets, too: as part of a message, and so as text.
pub(crate) fn arguments(given: impl Iterator<Item = OsString>) -> Result<Vec<String>, ExecuteError> {
    let text = |(number, argument): (usize, OsString)| {
        argument.into_string().map_err(|argument| {
            ExecuteError::Program(format!(
                "argument {} of the program, {argument:?}, is not valid UTF-8: workers could not be given the same; name the \
                 file by a link, or pass it in a file",
                number + 1
            ))
        })
    };
    given.enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn arguments_are_text() {
        let given = |last: &[u8]| [OsString::from("--input"), OsString::from_vec(last.to_vec())].into_iter();
        assert_eq!(arguments(given("caf\u{e9}".as_bytes())).unwrap(), ["--input", "caf\u{e9}"]);
        let error = arguments(given(b"caf\xe9")).unwrap_err().to_string();
        assert!(error.contains("argument 2 of the program") && error.contains("caf\\xE9"), "{error}");
    }
}
