use hadoop_rpc::yarn::{ApplicationReport, ApplicationState, NodeReport, QueueInfo};

use super::{CheckContext, Finding};
use crate::yarn::explain::{self, Node, Waiting};
use crate::yarn::plan::{Size, megabytes};
use crate::yarn::resource_manager::{queue_room, room};

/// The name of these checks.
pub(super) const RESOURCES: &str = "resources";

/// What to do where others have what is asked for.
const WAIT: &str = "wait until others have ended, or ask for less";

/// A container that would be asked for.
struct Asked<'a> {
    what: &'static str,
    container: Size,
    label: Option<&'a str>,
    /// The ApplicationMaster, which has limits of its own.
    is_master: bool,
}

/// Whether an ApplicationMaster and a TaskManager would get their containers now: from the queue first, then from the nodes.
pub(super) async fn examine(context: &CheckContext, nodes: &[NodeReport], queue: Option<&QueueInfo>) -> Vec<Finding> {
    let Ok(steps) = context.hadoop.steps() else { return Vec::new() };
    let nodes: Vec<_> = nodes.iter().filter_map(room).collect();
    let plan = &context.plan;
    let asked = [
        Asked {
            what: "an ApplicationMaster",
            container: steps.rounded(plan.master),
            label: plan.node_label.as_deref(),
            is_master: true,
        },
        Asked {
            what: "a TaskManager",
            container: steps.rounded(plan.task_manager),
            label: plan.task_manager_node_label.as_deref(),
            is_master: false,
        },
    ];
    // Who may not list applications does without.
    let living = match queue {
        Some(queue) => context.manager.living(&queue.name).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let user = context.manager.user();
    asked.iter().map(|asked| judge(asked, &nodes, queue, &living, user)).collect()
}

fn judge(
    asked: &Asked<'_>,
    nodes: &[Node],
    queue: Option<&QueueInfo>,
    living: &[ApplicationReport],
    user: &str,
) -> Finding {
    let Asked { what, container, label, .. } = asked;
    let room = queue.map(queue_room);
    let waiting = Waiting { container: *container, label: *label, queue: room.as_ref(), nodes, diagnostics: "" };
    let text = |reason: &str| format!("no room for {what} ({container}): {reason}");
    if let Some(reason) = explain::no_node(&waiting) {
        let advice = "ask for less with --jobmanager-memory, --taskmanager-memory or --slots";
        return Finding::problem(RESOURCES, text(&reason), advice);
    }
    let of_masters = || masters(asked, queue?, total(nodes), living);
    let of_user = || said(living.iter().filter(|application| application.user == user), explain::user_limited);
    if let Some(reason) = of_masters().or_else(of_user).or_else(|| explain::queue_full(&waiting)) {
        return Finding::warning(RESOURCES, text(&reason), WAIT);
    }
    let fits = |node: &&Node| {
        label.is_none_or(|label| node.labels.iter().any(|own| own == label))
            && node.free().memory_mb >= container.memory_mb
            && node.free().vcores >= container.vcores
    };
    let places: u64 = nodes.iter().filter(fits).map(|node| node.free().memory_mb / container.memory_mb.max(1)).sum();
    if places > 0 {
        return Finding::good(RESOURCES, format!("there is room for {places} times {what} ({container})"));
    }
    let reason = explain::reasons(&waiting).into_iter().next().unwrap_or_default();
    Finding::warning(RESOURCES, text(&reason), WAIT)
}

/// Memory of all nodes, in megabytes.
fn total(nodes: &[Node]) -> u64 {
    nodes.iter().map(|node| node.total.memory_mb).sum()
}

/// What in the queue keeps an ApplicationMaster away, whatever room there is on nodes.
fn masters(asked: &Asked<'_>, queue: &QueueInfo, total_mb: u64, living: &[ApplicationReport]) -> Option<String> {
    // Nodes with a label have shares of their own, which are not told.
    if asked.label.is_some() || !asked.is_master {
        return None;
    }
    said(living.iter(), explain::masters_limited).or_else(|| masters_full(asked.container, queue, total_mb, living))
}

/// What the ResourceManager says of an application that waits for the same.
fn said<'a>(living: impl Iterator<Item = &'a ApplicationReport>, reason: fn(&str) -> Option<String>) -> Option<String> {
    let mut waiting = living.filter(|application| application.state == ApplicationState::Accepted);
    waiting.find_map(|application| reason(&application.diagnostics))
}

/// The queue's share for ApplicationMasters against those that run: of one with more containers it is not known how large
/// its own is, and nothing is counted. The first of a queue is always let in.
fn masters_full(container: Size, queue: &QueueInfo, total_mb: u64, living: &[ApplicationReport]) -> Option<String> {
    let share = queue.maximum_master_share? * queue.absolute_maximum_capacity?;
    let most_mb = explain::part(total_mb, f64::from(share));
    let alone = living.iter().filter(|application| application.usage.used_containers == 1);
    let taken_mb: u64 = alone.map(|application| Size::from(application.usage.used).memory_mb).sum();
    (taken_mb > 0 && taken_mb + container.memory_mb > most_mb).then(|| {
        format!(
            "the ApplicationMasters of queue {} may have {} and have {} \
             (yarn.scheduler.capacity.maximum-am-resource-percent)",
            queue.name,
            megabytes(most_mb),
            megabytes(taken_mb)
        )
    })
}

#[cfg(test)]
mod tests {
    use hadoop_rpc::yarn::{QueueState, QueueStatistics, Resource};

    use super::*;
    use crate::yarn::doctor::Severity;
    use crate::yarn::start;

    fn queue(used: f32) -> QueueInfo {
        QueueInfo {
            name: "default".to_owned(),
            path: "root.default".to_owned(),
            state: QueueState::Running,
            capacity: 0.5,
            maximum_capacity: 1.0,
            current_capacity: used,
            absolute_maximum_capacity: Some(1.0),
            maximum_master_share: Some(0.5),
            maximum_resource: None,
            children: Vec::new(),
            accessible_node_labels: Vec::new(),
            default_node_label: None,
            statistics: QueueStatistics::default(),
            preemption_disabled: None,
        }
    }

    /// An application whose ApplicationMaster has that much, and its containers.
    fn running(memory_mb: u64, containers: u32) -> ApplicationReport {
        let mut report = start::tests::report(ApplicationState::Running);
        report.usage.used_containers = containers;
        report.usage.used = Resource::new(memory_mb, 1);
        report
    }

    fn waiting(diagnostics: &str) -> ApplicationReport {
        let mut report = start::tests::report(ApplicationState::Accepted);
        report.diagnostics = diagnostics.to_owned();
        report
    }

    #[test]
    fn limits_of_the_queue_come_before_room_on_nodes() {
        let size = |memory_mb| Size { memory_mb, vcores: 1 };
        let total = Size { memory_mb: 4096, vcores: 8 };
        let node = |name: &str| Node { name: name.to_owned(), total, used: size(0), labels: Vec::new() };
        let nodes = [node("a:1"), node("b:1")];
        let check = |is_master, memory_mb, queue: &QueueInfo, living: &[ApplicationReport], grade, part: &str| {
            let asked = Asked { what: "it", container: size(memory_mb), label: None, is_master };
            let found = judge(&asked, &nodes, Some(queue), living, "alice");
            assert!(found.grade == grade && found.finding.contains(part), "{grade:?} {part}: {found:?}");
        };
        let limit = "Queue's AM resource limit exceeded. Queue Resource Limit for AM = <memory:4096, vCores:1>; Queue AM \
                     Resource Usage = <memory:4000, vCores:2>; ";
        let (free, two) = (queue(0.0), [running(2048, 1), running(2048, 1)]);
        check(true, 128, &free, &[], Severity::Good, "room for 64 times it");
        check(true, 128, &queue(1.0), &two, Severity::Warning, "queue default may have 4 GB and have 4 GB");
        check(true, 128, &queue(1.0), &two[1..], Severity::Good, "room");
        // What others have beside their ApplicationMasters is none of its share.
        check(true, 128, &queue(1.0), &[running(2048, 3), running(2048, 1)], Severity::Good, "room");
        check(true, 128, &free, &[waiting(limit)], Severity::Warning, "they may have 4 GB");
        check(true, 128, &free, &[waiting("something else")], Severity::Good, "room");
        let of_user = waiting("User capacity has reached its maximum limit. Details");
        let of_another = ApplicationReport { user: "bob".to_owned(), ..of_user.clone() };
        check(false, 1024, &free, &[of_another], Severity::Good, "room");
        check(false, 1024, &free, &[of_user], Severity::Warning, "all that one user may have");
        check(false, 1024, &queue(1.0), &two, Severity::Good, "room");
        check(false, 1024, &queue(1.9), &[], Severity::Warning, "may have 8 GB of the cluster and has 410 MB left");
        check(false, 8192, &queue(1.9), &[], Severity::Problem, "no node is large enough");
    }
}
