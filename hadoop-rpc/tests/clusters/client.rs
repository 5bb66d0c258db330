use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Variant};
use hadoop_rpc::User;
use hadoop_rpc::yarn::{
    ApplicationClient, ApplicationFilter, ApplicationId, ApplicationReport, ApplicationState, AttemptState,
    ContainerId, FinalStatus, NodeLog, NodeLogs, NodeReport, NodeState, QueueAcl, QueueState, Resource,
};

use crate::master::{TIMEOUT, client, read_log, submission};

#[tokio::test]
async fn nodes_and_queues_are_described() {
    let cluster = Cluster::shared(Variant::Plain);
    let yarn = client(&cluster, "alice");
    let mut nodes = yarn.nodes(&[NodeState::Running]).await.unwrap();
    nodes.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(nodes.iter().map(|node| node.id.host.as_str()).collect::<Vec<_>>(), ["127.0.0.2", "127.0.0.3"]);
    assert_eq!(nodes[0].capability, Resource::new(4096, 8));
    assert_eq!((nodes[0].rack.as_str(), nodes[0].state), ("/default-rack", NodeState::Running));
    assert!(yarn.nodes(&[NodeState::Decommissioned]).await.unwrap().is_empty());
    let metrics = yarn.cluster_metrics().await.unwrap();
    assert_eq!((metrics.node_managers, metrics.active), (2, 2));

    assert_eq!(yarn.node_labels().await.unwrap(), [], "the cluster has them switched off");
    let root = yarn.queue("root").await.unwrap().unwrap();
    let names: Vec<&str> = root.children.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!(names, ["default", "other"]);
    let queue = &root.children[0];
    assert_eq!((queue.state, queue.path.as_str()), (QueueState::Running, "root.default"));
    assert!((queue.capacity - 0.6).abs() < 0.001 && (queue.maximum_capacity - 1.0).abs() < 0.001, "{queue:?}");
    assert_eq!(queue.absolute_maximum_capacity, Some(1.0));
    assert_eq!(queue.maximum_master_share, Some(0.5));
    assert_eq!(queue.maximum_resource, Some(Resource::new(8192, 16)));
    assert!(queue.statistics.allocated_memory_mb >= 64 * queue.statistics.allocated_containers, "{queue:?}");
    let acls = yarn.queue_acls().await.unwrap();
    let (_, acls) = acls.iter().find(|(queue, _)| queue.ends_with("default")).unwrap();
    assert_eq!(acls, &[QueueAcl::Submit]);
}

async fn wait(
    yarn: &ApplicationClient,
    id: ApplicationId,
    until: impl Fn(&ApplicationReport) -> bool,
) -> ApplicationReport {
    let began = Instant::now();
    loop {
        let report = yarn.report(id).await.unwrap();
        if until(&report) {
            return report;
        }
        assert!(began.elapsed() < TIMEOUT, "{report:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_application_is_submitted_changed_and_killed() {
    let cluster = Cluster::shared(Variant::Plain);
    let yarn = client(&cluster, "alice");
    let mut wanted = submission(&yarn, "sleep 100").await;
    let id = wanted.id;
    wanted.name = "to be killed".to_owned();
    wanted.tags = vec![format!("Tag-{id}")];
    wanted.application_type = "hadoop-rpc".to_owned();
    wanted.priority = Some(1);
    wanted.max_attempts = Some(1);
    wanted.lifetime = Some(Duration::from_secs(300));
    wanted.master.access.view = Some("bob".to_owned());
    yarn.submit(wanted.clone()).await.unwrap();
    yarn.submit(wanted).await.expect("the same application twice is the same as once");

    let report = wait(&yarn, id, |report| report.usage.used_containers == 1).await;
    assert_eq!((report.name.as_str(), report.user.as_str()), ("to be killed", "alice"));
    assert_eq!((report.state, report.final_status), (ApplicationState::Accepted, FinalStatus::Undefined));
    assert_eq!(report.current_attempt, Some(id.attempt(1)));
    assert_eq!((report.application_type.as_str(), report.rpc_port), ("hadoop-rpc", -1));
    assert!(report.started_ms > 1_500_000_000_000 && report.finished_ms == 0);

    let tags = vec![format!("Tag-{id}")];
    let filter = ApplicationFilter { tags, states: vec![ApplicationState::Accepted], ..ApplicationFilter::default() };
    let found = yarn.applications(&filter).await.unwrap();
    assert_eq!(found.iter().map(|report| report.id).collect::<Vec<_>>(), [id]);
    let filter = ApplicationFilter { users: vec!["bob".into()], ..filter };
    assert!(yarn.applications(&filter).await.unwrap().is_empty());

    yarn.move_to_queue(id, "other").await.unwrap();
    assert_eq!(yarn.set_priority(id, 0).await.unwrap(), 0);
    let report = yarn.report(id).await.unwrap();
    assert_eq!((report.queue.trim_start_matches("root."), report.priority), ("other", Some(0)));

    let attempts = yarn.attempts(id).await.unwrap();
    assert_eq!(attempts.len(), 1);
    let container = attempts[0].master_container.unwrap();
    assert_eq!((container.application(), container.number()), (id, 1));
    let containers = yarn.containers(id.attempt(1)).await.unwrap();
    assert_eq!(containers.iter().map(|report| report.id).collect::<Vec<_>>(), [container]);

    let began = Instant::now();
    while !yarn.kill(id, Some("enough of it")).await.unwrap() {
        assert!(began.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let report = yarn.report(id).await.unwrap();
    assert_eq!((report.state, report.final_status), (ApplicationState::Killed, FinalStatus::Killed));
    assert!(report.diagnostics.contains("enough of it"), "{}", report.diagnostics);
    assert!(report.state.is_terminal() && report.finished_ms >= report.started_ms);
    assert_eq!(yarn.attempts(id).await.unwrap()[0].state, AttemptState::Killed);
}

/// Waits until a node lists what it should.
async fn listed(logs: &NodeLogs, container: ContainerId, until: impl Fn(&[NodeLog]) -> bool) {
    let began = Instant::now();
    loop {
        let found = logs.list(container).await;
        if found.as_ref().is_ok_and(|found| until(found)) {
            return;
        }
        assert!(began.elapsed() < TIMEOUT, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nodes_show_what_containers_have_written() {
    let cluster = Cluster::shared(Variant::Plain);
    let yarn = client(&cluster, "alice");
    let lines: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    let wanted = submission(&yarn, "seq 100000 ><LOG_DIR>/out; touch <LOG_DIR>/done; sleep 100").await;
    let id = wanted.id;
    yarn.submit(wanted).await.unwrap();
    wait(&yarn, id, |report| report.usage.used_containers == 1).await;
    let container = yarn.containers(id.attempt(1)).await.unwrap().remove(0);
    let nodes = yarn.nodes(&[NodeState::Running]).await.unwrap();
    let logs = |node: &NodeReport| NodeLogs::new(&node.http_address, User::simple("alice"));
    let (here, elsewhere): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.id == container.node);
    let (here, elsewhere) = (logs(here[0]), logs(elsewhere[0]));
    listed(&here, container.id, |logs| logs.iter().any(|log| log.name == "done")).await;
    assert!(read_log(&here, container.id, "out", None).await == lines, "it is another text");
    assert_eq!(read_log(&here, container.id, "out", Some(7)).await, "100000\n");
    assert!(here.read(container.id, "no such", None).await.is_err());
    listed(&elsewhere, container.id, <[NodeLog]>::is_empty).await;
    yarn.kill(id, None).await.unwrap();
}

#[tokio::test]
async fn a_hundred_calls_at_once_share_a_connection() {
    let cluster = Cluster::shared(Variant::Plain);
    let yarn = client(&cluster, "alice");
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let yarn = yarn.clone();
            tokio::spawn(async move { yarn.new_application().await.unwrap().id })
        })
        .collect();
    let mut ids = Vec::new();
    for call in calls {
        ids.push(call.await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100, "every call got its own answer");
}
