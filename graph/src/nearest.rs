/// The candidate nearest to a misspelt name, when one is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    within(name, name.len() / 3, candidates)
}

/// The candidate that a slip of the finger makes of a name.
pub(crate) fn misspelt<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    within(name, 2, candidates)
}

fn within<'a>(name: &str, limit: usize, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = simplified(name);
    let scored = candidates.map(|candidate| (distance(&wanted, &simplified(candidate)), candidate));
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= limit).then_some(candidate)
}

/// Case and separators are what is misremembered most; they do not count.
fn simplified(name: &str) -> Vec<char> {
    name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Levenshtein's distance: insertions, deletions and replacements.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_not() {
        let names = ["taskmanager.numberOfTaskSlots", "taskmanager.host", "rest.port"];
        let check = |name: &str, expect: Option<&str>| assert_eq!(nearest(name, names.into_iter()), expect, "{name}");
        check("taskmanager.number-of-task-slots", Some("taskmanager.numberOfTaskSlots"));
        check("taskmanager.numberOfTaskSlot", Some("taskmanager.numberOfTaskSlots"));
        check("rest.prot", Some("rest.port"));
        check("taskmanager.completely.else.where", None);
    }
}
