use crate::error::{ClientError, Result};

/// What stands for all labels among those that a queue may use.
const ALL: &str = "*";

/// Whether containers can have a label: the cluster has these, and the queue may use those, where that is known.
pub(super) fn check(label: &str, known: &[String], queue: &str, usable: Option<&[String]>) -> Result<()> {
    if !known.iter().any(|own| own == label) {
        let there_are = match known {
            [] => "this cluster has none: yarn.node-labels.enabled, `yarn rmadmin -addToClusterNodeLabels`".to_owned(),
            known => format!("there are: {}", known.join(", ")),
        };
        return Err(ClientError::usage(format!("there is no node label `{label}`")).hint(there_are));
    }
    let Some(usable) = usable else { return Ok(()) };
    if usable.iter().any(|own| own == label || own == ALL) {
        return Ok(());
    }
    let named: Vec<&str> = usable.iter().map(|own| own.trim()).filter(|own| !own.is_empty()).collect();
    let usable = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
    Err(ClientError::usage(format!("queue `{queue}` may not use nodes with the label `{label}`"))
        .because_text(format!("labels that it may use: {usable}"))
        .hint("choose another queue with --queue, or have yarn.scheduler.capacity.<queue>.accessible-node-labels extended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(known: &[&str], usable: Option<&[&str]>) -> Option<String> {
        let owned = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        let usable = usable.map(owned);
        check("ssd", &owned(known), "q", usable.as_deref()).err().map(|error| format!("{error:?}"))
    }

    #[test]
    fn labels_must_be_there_and_allowed() {
        for usable in [None, Some(&["ssd"][..]), Some(&["gpu", "ssd"]), Some(&["*"])] {
            assert_eq!(refusal(&["gpu", "ssd"], usable), None, "{usable:?}");
        }
        let check = |known: &[&str], usable, told: &[&str]| {
            let refused = refusal(known, usable).unwrap();
            told.iter().for_each(|part| assert!(refused.contains(part), "`{part}` is missing in {refused}"));
        };
        check(&[], None, &["no node label `ssd`", "has none"]);
        check(&["gpu", "big"], Some(&["*"]), &["no node label `ssd`", "gpu, big"]);
        check(&["ssd"], Some(&["gpu"]), &["queue `q`", "`ssd`", "may use: gpu"]);
        check(&["ssd"], Some(&[" "]), &["may use: none"]);
    }
}
