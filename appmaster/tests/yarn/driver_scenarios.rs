use std::collections::BTreeMap;
use std::time::Duration;

use flink_appmaster::job_manager::{ClusterResources, TaskManagerUse};
use flink_appmaster::yarn::driver::{
    Action, AllocateRequest, Allocation, CompletedContainer, Container, DriverConfig, Event, Resource,
    ResourceManagerDriver,
};
use flink_graph::TaskManagerId;

use super::world::{config, container};

/// A driver, and what it does by and by.
struct Stage {
    driver: ResourceManagerDriver,
    now: Duration,
    resources: ClusterResources,
}

impl Stage {
    fn new(config: DriverConfig) -> Self {
        let mut stage = Self {
            driver: ResourceManagerDriver::new(config),
            now: Duration::ZERO,
            resources: ClusterResources::default(),
        };
        stage.on(Event::Registered { earlier: Vec::new(), largest: Resource::default() });
        stage.on(Event::Allocated(Allocation { cluster_nodes: 5, ..Allocation::default() }));
        stage
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        self.driver.on_event(self.now, event)
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = Duration::from_millis(ms);
        self
    }

    fn wants(&mut self, missing_slots: u32) -> Vec<Action> {
        self.resources.missing_slots = missing_slots;
        self.on(Event::Demand(self.resources.clone()))
    }

    fn registers(&mut self, container: &Container, used: u32) -> Vec<Action> {
        let task_manager = TaskManagerUse { slots: 2, used, busy: used > 0, connected: true };
        self.resources.missing_slots = 0;
        self.resources.task_managers.insert(container.id.clone(), task_manager);
        self.on(Event::Demand(self.resources.clone()))
    }

    fn brings(&mut self, containers: Vec<Container>) -> Vec<Action> {
        let actions = self.on(Event::Tick);
        assert!(actions.iter().all(|action| matches!(action, Action::Allocate(_))), "{actions:?}");
        self.on(Event::Allocated(Allocation { containers, cluster_nodes: 5, ..Allocation::default() }))
    }

    fn ends(&mut self, id: &TaskManagerId, exit_status: i32, diagnostics: &str) -> Vec<Action> {
        self.on(Event::Tick);
        let diagnostics = diagnostics.to_owned();
        let completed = vec![CompletedContainer { id: id.clone(), exit_status, diagnostics }];
        self.on(Event::Allocated(Allocation { completed, cluster_nodes: 5, ..Allocation::default() }))
    }

    /// One TaskManager with all its slots in use.
    fn with_one(config: DriverConfig) -> (Self, Container) {
        let mut stage = Self::new(config);
        let one = container(1);
        stage.at(100).wants(2);
        stage.at(200).brings(vec![one.clone()]);
        stage.on(Event::Started(one.id.clone()));
        stage.at(300).registers(&one, 2);
        stage.on(Event::Allocated(Allocation { cluster_nodes: 5, ..Allocation::default() }));
        (stage, one)
    }
}

fn config_with_rate(max_failure_rate: f64) -> DriverConfig {
    DriverConfig { max_failure_rate, ..config() }
}

fn asks(actions: &[Action]) -> Vec<u32> {
    actions
        .iter()
        .filter_map(|action| if let Action::Allocate(request) = action { request.containers } else { None })
        .collect()
}

fn released(actions: &[Action]) -> Vec<TaskManagerId> {
    let requests =
        actions.iter().filter_map(|action| if let Action::Allocate(request) = action { Some(request) } else { None });
    requests.flat_map(|request: &AllocateRequest| request.release.clone()).collect()
}

fn reasons(actions: &[Action]) -> Vec<String> {
    let reason = |action: &Action| match action {
        Action::ReportLost { reason, .. } | Action::Fail { reason } => Some(reason.clone()),
        _ => None,
    };
    actions.iter().filter_map(reason).collect()
}

/// The hosts in each ask for containers.
fn hosts(actions: &[Action]) -> Vec<BTreeMap<String, u32>> {
    let requests = actions.iter().filter_map(|action| match action {
        Action::Allocate(request) => request.containers.map(|_| request.hosts.clone()),
        _ => None,
    });
    requests.collect()
}

fn on(hosts: &[(&str, u32)]) -> BTreeMap<String, u32> {
    hosts.iter().map(|(host, count)| ((*host).to_owned(), *count)).collect()
}

#[test]
fn hosts_are_asked_for_by_the_names_of_yarn() {
    let mut stage = Stage::new(config());
    stage.driver = stage.driver.with_nodes(["Node1.example.org"].map(str::to_owned).iter());
    let nodes = vec!["host1".to_owned(), "node2".to_owned()];
    stage.at(500).on(Event::Tick);
    stage.on(Event::Allocated(Allocation { nodes, cluster_nodes: 5, ..Allocation::default() }));
    // HDFS has other names for them, two for one of them.
    let inputs = [("node1", 15), ("NODE1.example.org", 15), ("node2.example.org", 25), ("host1.example.org", 20)];
    let bytes = inputs.map(|(host, bytes)| (host.to_owned(), bytes)).into_iter().collect();
    stage.resources.inputs = vec![std::sync::Arc::new(bytes)];
    let actions = stage.at(1_000).wants(6);
    assert_eq!(hosts(&actions), [on(&[("Node1.example.org", 1), ("host1", 1), ("node2", 1)])]);
    // One has come, on host1, where one is enough: its name is the same for both sides.
    stage.on(Event::Allocated(Allocation { containers: vec![container(1)], ..Allocation::default() }));
    assert_eq!(hosts(&stage.at(1_050).on(Event::Tick)), [on(&[("Node1.example.org", 1), ("node2", 1)])]);
}

#[test]
fn containers_are_wanted_where_the_input_is() {
    let mut stage = Stage::new(config());
    let bytes = BTreeMap::from([("host1".to_owned(), 10), ("host2".to_owned(), 10)]);
    stage.resources.inputs = vec![std::sync::Arc::new(bytes)];
    let actions = stage.at(1_000).wants(4);
    assert_eq!(hosts(&actions), [on(&[("host1", 1), ("host2", 1)])]);
    // One has come, on host1: the other one is wanted on host2.
    stage.on(Event::Allocated(Allocation {
        containers: vec![container(1)],
        cluster_nodes: 5,
        ..Allocation::default()
    }));
    assert_eq!(hosts(&stage.at(1_050).on(Event::Tick)), [on(&[("host2", 1)])]);
    stage.on(Event::Allocated(Allocation::default()));
    // Jobs without input on hosts take what they get.
    stage.resources.inputs.clear();
    assert_eq!(hosts(&stage.at(2_000).wants(6)), [on(&[])]);
}

#[test]
fn containers_are_asked_for_and_started_at_once() {
    let mut stage = Stage::new(config());
    assert_eq!(asks(&stage.at(1_000).wants(3)), [2]);
    let actions = stage.on(Event::Allocated(Allocation {
        containers: vec![container(1)],
        cluster_nodes: 5,
        ..Allocation::default()
    }));
    assert!(matches!(&actions[..], [Action::StartContainer(_)]), "{actions:?}");
    // While containers are awaited, heartbeats are quick; that one came during the ask makes it say the number again.
    assert_eq!(asks(&stage.at(1_050).on(Event::Tick)), [1]);
    stage.on(Event::Allocated(Allocation { containers: vec![container(2), container(3)], ..Allocation::default() }));
    let actions = stage.at(1_100).on(Event::Tick);
    assert_eq!((asks(&actions), released(&actions)), (vec![0], vec![container(3).id]));
    stage.on(Event::Allocated(Allocation::default()));
    assert_eq!(
        stage.driver.next_deadline(),
        Some(Duration::from_millis(6_100)),
        "and slow when there is nothing to ask"
    );
}

#[test]
fn asks_are_sent_again_to_a_restarted_resource_manager() {
    let mut stage = Stage::new(config());
    stage.at(100).wants(6);
    assert!(matches!(&stage.at(200).on(Event::NotRegistered)[..], [Action::Register]));
    let actions = stage.at(900).on(Event::Registered { earlier: Vec::new(), largest: Resource::default() });
    assert_eq!(asks(&actions), [3]);
}

#[test]
fn a_lost_answer_makes_everything_said_again_twice() {
    let mut stage = Stage::new(config());
    stage.at(100).wants(6);
    stage.at(150).on(Event::HeartbeatFailed);
    assert_eq!(asks(&stage.at(1_000).on(Event::Tick)), [3]);
    stage.at(1_010).on(Event::Allocated(Allocation::default()));
    assert_eq!(asks(&stage.at(2_000).on(Event::Tick)), [3]);
}

#[test]
fn idle_task_managers_are_given_back_when_the_job_manager_agrees() {
    let (mut stage, one) = Stage::with_one(config());
    stage.at(1_000).registers(&one, 0);
    assert!(stage.at(30_900).on(Event::Tick).iter().all(|action| !matches!(action, Action::GiveBack(_))));
    let actions = stage.at(31_000).on(Event::Tick);
    assert!(actions.contains(&Action::GiveBack(one.id.clone())), "{actions:?}");
    stage.on(Event::GivenBack { container: one.id.clone(), accepted: false });
    assert_eq!(stage.driver.held(), 1);
    stage.at(32_000).registers(&one, 0);
    stage.at(62_001).on(Event::Tick);
    stage.on(Event::GivenBack { container: one.id.clone(), accepted: true });
    assert_eq!((stage.driver.held(), stage.driver.holds(&one.id)), (0, false));
    let actions = stage.at(67_100).on(Event::Tick);
    assert!(actions.iter().any(|action| matches!(action, Action::StopContainer { .. })), "it did not end: {actions:?}");
}

#[test]
fn the_cause_of_a_loss_is_told_and_the_container_replaced() {
    let (mut stage, one) = Stage::with_one(config());
    let message = "is running 104857600B beyond the 'PHYSICAL' memory limit.";
    let actions = stage.at(10_000).ends(&one.id, -104, message);
    assert!(reasons(&actions)[0].contains("256 MB by 100 MB"), "{actions:?}");
    stage.resources.task_managers.clear();
    assert_eq!(asks(&stage.at(10_100).wants(2)), [1]);
}

/// The JobManager hears of a loss first, by a silence; what it is charged to is known when YARN has spoken.
#[test]
fn a_task_manager_that_was_given_up_is_replaced_at_once_and_charged_later() {
    let mut config = config();
    config.max_failure_rate = 0.0;
    let given_up = |config: &DriverConfig| {
        let (mut stage, one) = Stage::with_one(config.clone());
        stage.resources.task_managers.clear();
        assert_eq!(asks(&stage.at(10_000).wants(2)), [1]);
        assert_eq!((stage.driver.held(), stage.driver.holds(&one.id)), (0, false));
        stage.on(Event::Allocated(Allocation { cluster_nodes: 5, ..Allocation::default() }));
        (stage, one)
    };
    let fails = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Fail { .. }));
    for (exit_status, is_failure) in [(-100, false), (-102, false), (137, true)] {
        let (mut stage, one) = given_up(&config);
        let actions = stage.at(11_000).ends(&one.id, exit_status, "");
        assert_eq!(fails(&actions), is_failure, "{exit_status}: {actions:?}");
    }
    // YARN says nothing: the container is given back.
    let (mut stage, _) = given_up(&config);
    let actions = stage.at(15_000).on(Event::Tick);
    assert!(actions.iter().any(|action| matches!(action, Action::StopContainer { .. })), "{actions:?}");
    assert!(!fails(&actions));
}

#[test]
fn a_task_manager_that_was_given_up_may_come_back() {
    let (mut stage, one) = Stage::with_one(config());
    stage.resources.task_managers.clear();
    stage.at(10_000).wants(2);
    let actions = stage.at(12_000).registers(&one, 2);
    assert_eq!((stage.driver.held(), stage.driver.holds(&one.id), asks(&actions)), (1, true, vec![]));
    let actions = stage.at(16_000).on(Event::Tick);
    assert!(!actions.iter().any(|action| matches!(action, Action::StopContainer { .. })), "{actions:?}");
}

#[test]
fn too_many_failures_end_the_application_but_preemption_does_not() {
    let mut config = config();
    config.max_failure_rate = 2.0;
    let mut stage = Stage::new(config);
    stage.wants(2);
    for number in 1..=12 {
        let (one, at) = (container(number), 1_000 * number);
        stage.at(at).brings(vec![one.clone()]);
        stage.on(Event::Started(one.id.clone()));
        let status = if number <= 8 { -102 - i32::from(number % 2 == 0) * -2 } else { 1 };
        let actions = stage.at(at + 500).ends(&one.id, status, "");
        let failed = actions.iter().any(|action| matches!(action, Action::Fail { .. }));
        assert_eq!(failed, number == 11, "{number}: {actions:?}");
        if failed {
            assert!(reasons(&actions).last().unwrap().contains("max-failure-rate"), "{actions:?}");
            assert_eq!(stage.driver.next_deadline(), None);
            return;
        }
    }
}

#[test]
fn one_that_never_registers_is_replaced() {
    let mut stage = Stage::new(config());
    let one = container(1);
    stage.wants(1);
    stage.at(50).brings(vec![one.clone()]);
    stage.at(100).on(Event::Started(one.id.clone()));
    let actions = stage.at(20_100).on(Event::Tick);
    assert!(reasons(&actions)[0].contains("did not register within 20 s"), "{actions:?}");
    assert!(actions.iter().any(|action| matches!(action, Action::StopContainer { .. })));
    assert_eq!(stage.driver.held(), 0);
}

#[test]
fn a_node_on_which_containers_fail_is_left_out() {
    let mut stage = Stage::new(config());
    stage.wants(2);
    for number in [5, 10, 15] {
        stage.at(number * 1_000).brings(vec![container(number)]);
        stage.at(number * 1_000 + 500).ends(&container(number).id, 1, "");
    }
    let actions = stage.at(16_000).on(Event::Tick);
    let additions = |actions: &[Action]| -> Vec<String> {
        let of = |action: &Action| {
            if let Action::Allocate(request) = action { Some(request.blacklist_additions.clone()) } else { None }
        };
        actions.iter().filter_map(of).flatten().collect()
    };
    assert_eq!(additions(&actions), ["host0"]);
}

#[test]
fn containers_of_an_earlier_attempt_are_taken_over() {
    let mut driver = ResourceManagerDriver::new(config());
    let (one, two) = (container(1), container(2));
    let earlier = vec![one.clone(), two.clone()];
    driver.on_event(Duration::ZERO, Event::Registered { earlier, largest: Resource::default() });
    let used = TaskManagerUse { slots: 2, used: 1, busy: true, connected: true };
    let task_managers = BTreeMap::from([(one.id.clone(), used)]);
    let actions = driver.on_event(
        Duration::from_secs(1),
        Event::Demand(ClusterResources { missing_slots: 3, task_managers, ..ClusterResources::default() }),
    );
    assert_eq!((driver.held(), driver.wanted(), asks(&actions)), (2, 2, vec![]));
    let actions = driver.on_event(Duration::from_secs(21), Event::Tick);
    assert!(reasons(&actions)[0].contains(&two.id.0), "{actions:?}");
}

#[test]
fn users_are_told_what_is_waited_for() {
    let check = |most_vcores: u32, memory_mb: u64, vcores: u32, parts: &[&str]| {
        let mut stage = Stage::new(config());
        let largest = Resource { memory_mb: 4096, vcores: most_vcores };
        stage.on(Event::Registered { earlier: Vec::new(), largest });
        stage.wants(2);
        let available = Some(Resource { memory_mb, vcores });
        stage.on(Event::Allocated(Allocation { available, ..Allocation::default() }));
        let actions = stage.at(10_000).on(Event::Tick);
        let text =
            actions.iter().find_map(|action| if let Action::Explain(Some(text)) = action { Some(text) } else { None });
        let text = text.unwrap();
        for part in [&["1 container of 256 MB and 1 core"], parts].concat() {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
        assert!(text.ends_with("more: flink-yarn doctor"), "{text}");
        assert!(stage.at(10_010).wants(0).contains(&Action::Explain(None)));
    };
    check(4, 64, 8, &["no more than 64 MB and 8 cores", "its queue, its user's share of it, or the cluster is full"]);
    check(4, 512, 8, &["may still get 512 MB and 8 cores", "no single node has that much room"]);
    // Whether there are cores left matters where the scheduler counts them.
    check(4, 512, 0, &["no more than 512 MB and 0 cores"]);
    check(u32::MAX, 512, 0, &["may still get 512 MB"]);
}

#[test]
fn a_container_that_is_too_large_for_the_cluster_is_refused_in_words() {
    let mut driver = ResourceManagerDriver::new(config());
    let largest = Resource { memory_mb: 128, vcores: 4 };
    let actions = driver.on_event(Duration::ZERO, Event::Registered { earlier: Vec::new(), largest });
    assert!(reasons(&actions)[0].contains("yarn.scheduler.maximum-allocation-mb"), "{actions:?}");
}

/// Of an earlier attempt, on a node whose NodeManager has died: YARN has given its container up, and it does not know.
#[test]
fn one_without_a_container_of_ours_is_sent_away() {
    let (mut stage, one) = Stage::with_one(config());
    let stranger = container(99);
    let actions = stage.at(1_000).registers(&stranger, 2);
    assert_eq!((stage.driver.held(), stage.driver.wanted(), asks(&actions)), (1, 1, vec![]));
    assert!(reasons(&stage.at(20_900).on(Event::Tick)).is_empty(), "its container may still be told");
    let actions = stage.at(21_000).on(Event::Tick);
    let sent_away = |actions: &[Action], id: &TaskManagerId| {
        actions.iter().any(|action| matches!(action, Action::ReportLost { task_manager, .. } if task_manager == id))
    };
    assert!(sent_away(&actions, &stranger.id) && !sent_away(&actions, &one.id), "{actions:?}");
    // What ran on it is wanted elsewhere.
    stage.resources.task_managers.remove(&stranger.id);
    let actions = stage.on(Event::Allocated(Allocation { cluster_nodes: 5, ..Allocation::default() }));
    assert_eq!(released(&actions), [stranger.id], "should it be told after all");
    stage.on(Event::Allocated(Allocation { cluster_nodes: 5, ..Allocation::default() }));
    assert_eq!(asks(&stage.at(21_100).wants(2)), [1]);
}

#[test]
fn a_container_that_is_told_late_is_ours() {
    let (mut stage, _) = Stage::with_one(config());
    let late = container(98);
    stage.at(1_000).registers(&late, 2);
    // The ResourceManager is away, so it has as long again.
    stage.at(15_000).on(Event::NotRegistered);
    assert!(reasons(&stage.at(40_000).on(Event::Tick)).is_empty());
    assert!(stage.driver.next_deadline().is_none_or(|at| at > stage.now), "it does not spin meanwhile");
    stage.at(50_000).on(Event::Registered { earlier: Vec::new(), largest: Resource::default() });
    assert!(reasons(&stage.at(69_000).on(Event::Tick)).is_empty());
    let earlier = vec![late.clone()];
    stage.on(Event::Allocated(Allocation { earlier, cluster_nodes: 5, ..Allocation::default() }));
    assert!(stage.driver.holds(&late.id));
    assert!(reasons(&stage.at(100_000).on(Event::Tick)).is_empty());
}

#[test]
fn failures_that_come_slowly_end_the_application_too() {
    // Nothing is charged to the program, and nothing ever works: once a disk, once a TaskManager that goes at once.
    for lives in [false, true] {
        let mut stage = Stage::new(config_with_rate(2.0));
        for number in 1..=11 {
            let (one, at) = (container(number), 100_000 * number);
            stage.at(at).wants(2);
            stage.brings(vec![one.clone()]);
            stage.on(Event::Started(one.id.clone()));
            if lives {
                stage.at(at + 1_000).registers(&one, 2);
                stage.on(Event::Allocated(Allocation { cluster_nodes: 5, ..Allocation::default() }));
                stage.resources.task_managers.clear();
            }
            let actions = stage.at(at + 7_000).ends(&one.id, -101, "");
            let failed = actions.iter().any(|action| matches!(action, Action::Fail { .. }));
            assert_eq!(failed, number == 11, "{number}: {actions:?}");
            if failed {
                assert!(reasons(&actions).last().unwrap().contains("11 TaskManagers in a row"), "{actions:?}");
            }
        }
    }
}

#[test]
fn failures_beside_something_that_works_do_not_end_the_application() {
    let (mut stage, _) = Stage::with_one(config_with_rate(2.0));
    for number in 2..40 {
        let (one, at) = (container(number), 100_000 * number);
        stage.at(at).wants(2);
        stage.brings(vec![one.clone()]);
        stage.on(Event::Started(one.id.clone()));
        let actions = stage.at(at + 7_000).ends(&one.id, 1, "");
        assert!(!actions.iter().any(|action| matches!(action, Action::Fail { .. })), "{number}: {actions:?}");
    }
}

/// YARN says once that it may take a container away, and nothing when it keeps it.
#[test]
fn a_warning_of_preemption_lapses() {
    let end = |after_ms: u64| {
        let (mut stage, one) = Stage::with_one(config_with_rate(0.0));
        stage.at(1_000).on(Event::Tick);
        let preempted = vec![one.id.clone()];
        stage.on(Event::Allocated(Allocation { preempted, cluster_nodes: 5, ..Allocation::default() }));
        let actions = stage.at(1_000 + after_ms).ends(&one.id, 137, "");
        actions.iter().any(|action| matches!(action, Action::Fail { .. }))
    };
    assert!(!end(15_000), "it was taken away");
    assert!(end(61_000), "it has failed by itself");
    // Nor is an idle one given back before its time.
    let (mut stage, one) = Stage::with_one(config());
    stage.at(1_000).on(Event::Tick);
    let preempted = vec![one.id.clone()];
    stage.on(Event::Allocated(Allocation { preempted, cluster_nodes: 5, ..Allocation::default() }));
    let gives_back = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::GiveBack(_)));
    assert!(!gives_back(&stage.at(61_000).registers(&one, 0)));
    assert!(gives_back(&stage.at(91_000).on(Event::Tick)));
}
