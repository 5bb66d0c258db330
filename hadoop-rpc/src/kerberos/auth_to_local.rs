use regex_lite::Regex;

use super::KerberosError;

const KEY: &str = "hadoop.security.auth_to_local";
const MAX_RULES: usize = 1000;

/// One of the rules, in order: the first that applies gives the name.
#[derive(Debug)]
enum Rule {
    /// Principals of the default realm lose it.
    Default,
    Pattern(Pattern),
}

/// `RULE:[components:format](match)s/from/to/g/L`
#[derive(Debug)]
struct Pattern {
    components: usize,
    format: String,
    must_match: Option<Regex>,
    from: Option<Regex>,
    to: String,
    everywhere: bool,
    lower: bool,
}

/// The name of the user who is a principal, by the rules of `hadoop.security.auth_to_local`.
pub(crate) fn short_name(principal: &str, rules: &str, default_realm: Option<&str>) -> Result<String, KerberosError> {
    let rules = parse(rules)?;
    let (name, realm) = principal.rsplit_once('@').map_or((principal, None), |(name, realm)| (name, Some(realm)));
    let Some(realm) = realm else { return Ok(first_component(name)) };
    let components: Vec<&str> = name.split('/').collect();
    for rule in &rules {
        let found = match rule {
            // Without krb5.conf's default realm, the realm of the login itself is taken for it.
            Rule::Default => default_realm.is_none_or(|default| default == realm).then(|| first_component(name)),
            Rule::Pattern(pattern) => pattern.apply(&components, realm),
        };
        if let Some(found) = found {
            return if found.contains(['@', '/']) { Err(not_simple(principal, &found)) } else { Ok(found) };
        }
    }
    Err(KerberosError::NoName(format!("no rule of {KEY} applies to the principal {principal}; add one for its realm")))
}

fn not_simple(principal: &str, found: &str) -> KerberosError {
    KerberosError::NoName(format!("{KEY} makes `{found}` of the principal {principal}, which is no name of a user"))
}

fn first_component(name: &str) -> String {
    name.split('/').next().unwrap_or_default().to_owned()
}

fn parse(text: &str) -> Result<Vec<Rule>, KerberosError> {
    let rules: Vec<Rule> = text.split_whitespace().take(MAX_RULES).map(parse_rule).collect::<Result<_, _>>()?;
    Ok(if rules.is_empty() { vec![Rule::Default] } else { rules })
}

fn parse_rule(text: &str) -> Result<Rule, KerberosError> {
    if text == "DEFAULT" {
        return Ok(Rule::Default);
    }
    let invalid = || KerberosError::NoName(format!("{KEY} has a rule that cannot be read: {text}"));
    parse_pattern(text).map(Rule::Pattern).ok_or_else(invalid)
}

fn parse_pattern(text: &str) -> Option<Pattern> {
    let (head, rest) = text.strip_prefix("RULE:[")?.split_once(']')?;
    let (components, format) = head.split_once(':')?;
    let (must_match, rest) = match rest.strip_prefix('(') {
        Some(rest) => {
            let (regex, rest) = rest.split_at(closing_parenthesis(rest)?);
            (Some(whole(regex)?), &rest[1..])
        }
        None => (None, rest),
    };
    let (rest, lower) = rest.strip_suffix("/L").map_or((rest, false), |rest| (rest, true));
    let (from, to, everywhere) = match rest.strip_prefix("s/") {
        Some(substitution) => {
            let mut parts = substitution.splitn(3, '/');
            let (from, to, flags) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
            (Some(Regex::new(from).ok()?), to.to_owned(), flags.starts_with('g'))
        }
        None if rest.is_empty() => (None, String::new(), false),
        None => return None,
    };
    let components = components.trim().parse().ok()?;
    Some(Pattern { components, format: format.to_owned(), must_match, from, to, everywhere, lower })
}

/// Where the parenthesis closes that is open at the beginning.
fn closing_parenthesis(text: &str) -> Option<usize> {
    let mut depth = 1_usize;
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(position);
        }
    }
    None
}

fn whole(regex: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{regex})$")).ok()
}

impl Pattern {
    fn apply(&self, components: &[&str], realm: &str) -> Option<String> {
        if components.len() != self.components {
            return None;
        }
        let base = self.formatted(components, realm)?;
        if self.must_match.as_ref().is_some_and(|regex| !regex.is_match(&base)) {
            return None;
        }
        let name = match &self.from {
            Some(from) if self.everywhere => from.replace_all(&base, self.to.as_str()).into_owned(),
            Some(from) => from.replace(&base, self.to.as_str()).into_owned(),
            None => base,
        };
        Some(if self.lower { name.to_lowercase() } else { name })
    }

    /// `$0` is the realm, `$1` the first component.
    fn formatted(&self, components: &[&str], realm: &str) -> Option<String> {
        let mut text = String::new();
        let mut parts = self.format.split('$');
        text.push_str(parts.next()?);
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: usize = part[..digits].parse().ok()?;
            text.push_str(if number == 0 { realm } else { components.get(number - 1)? });
            text.push_str(&part[digits..]);
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users() {
        let rules = "RULE:[1:$1@$0](.*@OTHER)s/@.*// RULE:[2:$1/$2@$0](nn/.*@R)s/.*/hdfs/ \
                     RULE:[2:$1@$0](.*@BIG)s/@.*///L RULE:[1:$1](guest.*)s/;//g DEFAULT";
        let check = |principal: &str, expect: &str| {
            assert_eq!(short_name(principal, rules, Some("R")).unwrap(), expect, "{principal}");
        };
        check("alice@R", "alice");
        check("alice@OTHER", "alice");
        check("nn/host.a@R", "hdfs");
        check("yarn/host.a@R", "yarn");
        check("Bob/host@BIG", "bob");
        check("guest;1;2@ANY", "guest12");
        check("norealm/host", "norealm");
    }

    #[test]
    fn what_gives_no_name_is_said() {
        let message = |principal: &str, rules: &str| short_name(principal, rules, Some("R")).unwrap_err().to_string();
        assert!(message("alice@ELSE", "").contains("no rule of hadoop.security.auth_to_local applies"));
        assert!(message("alice@R", "RULE:[1:$1").contains("cannot be read: RULE:[1:$1"));
        assert!(message("alice@R", "RULE:[1:$1@$0]").contains("makes `alice@R`"));
        assert_eq!(short_name("alice@ELSE", "DEFAULT", None).unwrap(), "alice");
    }
}
