use std::env;

/// Hadoop gives up at the same depth: a value that refers to itself keeps what is left of it.
const MAX_REPLACEMENTS: usize = 20;

/// What a chain of variables may grow to; a longer value is left as it is.
const MAX_BYTES: usize = 1 << 20;

/// Replaces `${key}`, `${env.NAME}`, `${env.NAME-default}`, `${env.NAME:-default}` and the few properties of a Java
/// process that configurations use. What is not known stays as it is.
pub(super) fn substitute(value: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = value.to_owned();
    for _ in 0..MAX_REPLACEMENTS {
        let Some((start, end)) = innermost(&text) else { return text };
        let Some(replacement) = variable(&text[start + 2..end], lookup) else { return text };
        if text.len() + replacement.len() > MAX_BYTES {
            return text;
        }
        text.replace_range(start..=end, &replacement);
    }
    text
}

/// The first `${…}` that holds no other one: positions of the dollar and of the brace that closes it.
fn innermost(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut open = None;
    for (position, byte) in bytes.iter().enumerate() {
        match byte {
            b'$' if bytes.get(position + 1) == Some(&b'{') => open = Some(position),
            b'}' if open.is_some_and(|start| position > start + 2) => return open.map(|start| (start, position)),
            _ => {}
        }
    }
    None
}

fn variable(name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(name) = name.strip_prefix("env.") {
        return environment(name);
    }
    let of_java = match name {
        "user.name" => env::var("HADOOP_USER_NAME").or_else(|_| env::var("USER")).ok(),
        "user.home" => env::var("HOME").ok(),
        "java.io.tmpdir" => Some("/tmp".to_owned()),
        _ => None,
    };
    of_java.or_else(|| lookup(name))
}

fn environment(name: &str) -> Option<String> {
    let set = |name: &str| env::var(name).ok();
    let Some(dash) = name.find('-') else { return set(name) };
    let (before, default) = (&name[..dash], &name[dash + 1..]);
    let value = match before.strip_suffix(':') {
        Some(name) => set(name).filter(|value| !value.is_empty()),
        None => set(before),
    };
    value.or_else(|| Some(default.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let lookup = |name: &str| match name {
            "a" => Some("1".to_owned()),
            "b" => Some("${a}2".to_owned()),
            "which" => Some("a".to_owned()),
            "loop" => Some("x${loop}".to_owned()),
            "wide" => Some("${wide}${wide}".to_owned()),
            _ => None,
        };
        let check = |text: &str, expect: &str| assert_eq!(substitute(text, &lookup), expect);
        check("plain $ {a} }", "plain $ {a} }");
        check("${a}-${b}", "1-12");
        check("${${which}}", "1");
        check("${unknown}/x", "${unknown}/x");
        check("${env.NO_SUCH_VARIABLE:-fallback}", "fallback");
        check("${env.NO_SUCH_VARIABLE-}", "");
        check("${", "${");
        check("${}", "${}");
        assert!(substitute("${loop}", &lookup).starts_with("xxxx"));
        assert!(substitute("${wide}", &lookup).len() < MAX_BYTES);
    }
}
