//! Why an application gets no container, in words: from what the ResourceManager says of it, of its queue and of the
//! nodes.

use super::plan::{Size, megabytes};

/// A node, as far as room on it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// `host:port`.
    pub(crate) name: String,
    /// What it has for containers.
    pub(crate) total: Size,
    /// What containers have of it.
    pub(crate) used: Size,
    /// Its labels.
    pub(crate) labels: Vec<String>,
}

impl Node {
    /// What is left.
    pub(crate) fn free(&self) -> Size {
        Size {
            memory_mb: self.total.memory_mb.saturating_sub(self.used.memory_mb),
            vcores: self.total.vcores.saturating_sub(self.used.vcores),
        }
    }
}

/// A queue, as far as room in it goes. Shares are of the queue above (`capacity`, `maximum`) or of the queue's own
/// capacity (`used`), as YARN has them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Queue {
    /// Its name.
    pub(crate) name: String,
    /// Whether it takes applications.
    pub(crate) running: bool,
    /// What is guaranteed to it, from 0 to 1.
    pub(crate) capacity: f64,
    /// What it may have at most, from 0 to 1.
    pub(crate) maximum: f64,
    /// What it has, as a share of what is guaranteed: more than 1 when it has borrowed.
    pub(crate) used: f64,
    /// What it may have at most of the whole cluster, from 0 to 1.
    pub(crate) of_cluster: f64,
}

/// What an application waits for, and where.
#[derive(Debug, Clone)]
pub(crate) struct Waiting<'a> {
    /// The container, rounded as YARN does.
    pub(crate) container: Size,
    /// The label of the nodes it may run on.
    pub(crate) label: Option<&'a str>,
    /// The queue that it was submitted to.
    pub(crate) queue: Option<&'a Queue>,
    /// The nodes that run.
    pub(crate) nodes: &'a [Node],
    /// What the ResourceManager says of the application.
    pub(crate) diagnostics: &'a str,
}

/// The reasons, the surest first; at least one.
pub(crate) fn reasons(waiting: &Waiting<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(queue_closed(waiting));
    reasons.extend(no_node(waiting));
    reasons.extend(masters_limited(waiting.diagnostics));
    reasons.extend(user_limited(waiting.diagnostics));
    reasons.extend(queue_full(waiting));
    if reasons.is_empty() {
        reasons.extend(nodes_full(waiting));
    }
    if reasons.is_empty() {
        reasons.push(
            said(waiting.diagnostics).unwrap_or_else(|| {
                "the ResourceManager has not said why; it may be busy, or have just begun".to_owned()
            }),
        );
    }
    reasons
}

fn queue_closed(waiting: &Waiting<'_>) -> Option<String> {
    let queue = waiting.queue.filter(|queue| !queue.running)?;
    Some(format!("queue {} is stopped: choose another with --queue, or ask for it to be started", queue.name))
}

/// Why it would get none on an idle cluster either.
pub(crate) fn no_node(waiting: &Waiting<'_>) -> Option<String> {
    let label = waiting.label.map(|label| format!(" with the label {label}")).unwrap_or_default();
    let fitting: Vec<&Node> = labelled(waiting).collect();
    if fitting.is_empty() {
        return Some(format!(
            "no NodeManager{label} runs: look at their logs, and at yarn.resourcemanager.resource-tracker.address"
        ));
    }
    let size = waiting.container;
    let large = fitting.iter().any(|node| node.total.memory_mb >= size.memory_mb && node.total.vcores >= size.vcores);
    let largest = fitting.iter().max_by_key(|node| node.total.memory_mb)?;
    (!large).then(|| {
        format!("no node{label} is large enough for {size}: the largest has {} ({})", largest.total, largest.name)
    })
}

fn labelled<'a>(waiting: &'a Waiting<'_>) -> impl Iterator<Item = &'a Node> {
    let wanted = waiting.label;
    waiting.nodes.iter().filter(move |node| match wanted {
        Some(label) => node.labels.iter().any(|own| own == label),
        None => true,
    })
}

/// YARN limits the share of a queue that ApplicationMasters may have, so that jobs have room, too.
pub(crate) fn masters_limited(diagnostics: &str) -> Option<String> {
    let text = diagnostics;
    if !text.contains("AM resource limit exceeded") {
        return None;
    }
    let limit = number_after(text, "Queue Resource Limit for AM = <memory:");
    let usage = number_after(text, "Queue AM Resource Usage = <memory:");
    let of_user = if text.contains("User's AM resource limit exceeded") { " of this user" } else { "" };
    let figures = match (limit, usage) {
        (Some(limit), Some(usage)) => {
            format!(": they may have {} and have {}", megabytes(limit), megabytes(usage))
        }
        _ => String::new(),
    };
    Some(format!(
        "the ApplicationMasters{of_user} have taken their share of the queue{figures} \
         (yarn.scheduler.capacity.maximum-am-resource-percent); another application must end first, or use less with \
         --jobmanager-memory"
    ))
}

/// By default a user may have no more than what is guaranteed to the queue, whatever is free.
pub(crate) fn user_limited(diagnostics: &str) -> Option<String> {
    diagnostics.contains("User capacity has reached its maximum limit").then(|| {
        "this user has all that one user may have of the queue (its user-limit-factor and minimum-user-limit-percent): \
         another application must end or give back containers first"
            .to_owned()
    })
}

fn number_after(text: &str, beginning: &str) -> Option<u64> {
    let rest = &text[text.find(beginning)? + beginning.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// What the queue may have at most against what it has.
pub(crate) fn queue_full(waiting: &Waiting<'_>) -> Option<String> {
    // Nodes with a label have shares of their own, which are not told.
    let queue = waiting.queue.filter(|queue| waiting.label.is_none() && queue.capacity > 0.0 && queue.maximum > 0.0)?;
    let without_label = waiting.nodes.iter().filter(|node| node.labels.iter().all(String::is_empty));
    let total_mb: u64 = without_label.map(|node| node.total.memory_mb).sum();
    let most_mb = part(total_mb, queue.of_cluster);
    let left_mb = part(most_mb, 1.0 - queue.used * queue.capacity / queue.maximum);
    (left_mb < waiting.container.memory_mb).then(|| {
        format!(
            "queue {} may have {} of the cluster and has {} left of that, or as large a share of its cores: its \
             applications must end or give back containers first",
            queue.name,
            megabytes(most_mb),
            megabytes(left_mb)
        )
    })
}

/// A share of megabytes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn part(total_mb: u64, share: f64) -> u64 {
    (total_mb as f64 * share.clamp(0.0, 1.0)).round() as u64
}

fn nodes_full(waiting: &Waiting<'_>) -> Option<String> {
    let size = waiting.container;
    let room = |node: &Node| node.free().memory_mb >= size.memory_mb && node.free().vcores >= size.vcores;
    if labelled(waiting).any(room) {
        return None;
    }
    let freest = labelled(waiting).max_by_key(|node| node.free().memory_mb)?;
    Some(format!(
        "all nodes are busy: {size} is asked for, and the node with most room, {}, has {} left",
        freest.name,
        freest.free()
    ))
}

/// The ResourceManager's words without the time in front, cut to a length that can be read.
pub(crate) fn said(diagnostics: &str) -> Option<String> {
    let text = diagnostics.trim();
    let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((time, rest)) if time.len() < 60 => rest.trim(),
        _ => text,
    };
    let cleaned: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let short: String = cleaned.trim().chars().take(600).collect();
    (!short.is_empty()).then(|| format!("the ResourceManager says: {short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, total: (u64, u32), used: (u64, u32)) -> Node {
        let size = |(memory_mb, vcores)| Size { memory_mb, vcores };
        Node { name: name.to_owned(), total: size(total), used: size(used), labels: Vec::new() }
    }

    fn queue(used: f64) -> Queue {
        Queue { name: "default".to_owned(), running: true, capacity: 0.5, maximum: 0.8, used, of_cluster: 0.8 }
    }

    fn check(memory_mb: u64, queue: &Queue, nodes: &[Node], diagnostics: &str, expect: &str) {
        let container = Size { memory_mb, vcores: 1 };
        let found = reasons(&Waiting { container, label: None, queue: Some(queue), nodes, diagnostics });
        assert!(found[0].contains(expect), "{expect}: {found:?}");
    }

    #[test]
    fn each_reason_has_its_words() {
        let nodes = [node("a:1", (2048, 4), (1024, 1)), node("b:1", (4096, 4), (3584, 2))];
        let limit = "[Sat Nov 21 05:50:31 +0000 2026] Application is added to the scheduler and is not yet activated. Queue's AM \
                     resource limit exceeded.  Details : AM Partition = <DEFAULT_PARTITION>; AM Resource Request = \
                     <memory:512, vCores:1>; Queue Resource Limit for AM = <memory:1024, vCores:1>; User AM Resource \
                     Limit of the queue = <memory:1024, vCores:1>; Queue AM Resource Usage = <memory:768, vCores:2>; ";
        check(
            8192,
            &queue(0.1),
            &nodes,
            "",
            "no node is large enough for 8 GB and 1 core: the largest has 4 GB and 4 cores (b:1)",
        );
        check(512, &queue(0.1), &nodes, limit, "they may have 1 GB and have 768 MB");
        let of_user = "[today] Application is Activated, waiting for resources to be assigned for AM. User capacity has reached \
                       its maximum limit. Details : AM Partition = <DEFAULT_PARTITION> ; ";
        check(512, &queue(0.1), &nodes, of_user, "all that one user may have of the queue");
        check(512, &queue(1.6), &nodes, "", "queue default may have 4915 MB of the cluster and has 0 MB left");
        check(512, &queue(1.5), &nodes, "", "queue default may have 4915 MB of the cluster and has 307 MB left");
        check(2000, &queue(0.1), &nodes, "", "the node with most room, a:1, has 1 GB and 3 cores left");
        check(512, &queue(0.1), &[], "", "no NodeManager runs");
        check(512, &Queue { running: false, ..queue(0.0) }, &nodes, "", "queue default is stopped");
        check(512, &queue(0.1), &nodes, "[today] Waiting\nfor it", "the ResourceManager says: Waiting for it");
        check(512, &queue(0.1), &nodes, "", "has not said why");
    }

    #[test]
    fn labels_leave_other_nodes_out() {
        let nodes =
            [Node { labels: vec!["ssd".to_owned()], ..node("a:1", (1024, 2), (0, 0)) }, node("b:1", (8192, 8), (0, 0))];
        let waiting = Waiting {
            container: Size { memory_mb: 2048, vcores: 1 },
            label: Some("ssd"),
            queue: None,
            nodes: &nodes,
            diagnostics: "",
        };
        assert!(reasons(&waiting)[0].contains("no node with the label ssd is large enough"));
        assert!(
            reasons(&Waiting { label: Some("gpu"), ..waiting })[0].contains("no NodeManager with the label gpu runs")
        );
    }
}
