use std::time::Duration;

use flink_test_hadoop::{Cluster, Role, Variant};
use hadoop_rpc::yarn::{
    AllocateRequest, Container, ContainerExit, ContainerLaunchContext, ContainerManagement, ContainerSignal,
    ContainerState, FinalStatus, LocalResource, Resource, ResourceRequest, StartContainer,
};
use hadoop_rpc::{Configuration, Secret, Token};

use crate::master::{Application, Master, TIMEOUT, client, configuration};

/// Asks for one container, and gives it with the token for its node.
async fn container(master: &mut Master, request: ResourceRequest) -> (Container, Option<Token>) {
    let id = request.allocation_request_id;
    master.ask(request);
    let mut token = None;
    let container = master
        .until(|response| {
            token = response.nm_tokens.into_iter().next().map(|nm| nm.token).or(token.take());
            response.allocated.into_iter().find(|container| container.allocation_request_id == id)
        })
        .await;
    (container, token)
}

fn on_host(host: &str, allocation: i64) -> Vec<ResourceRequest> {
    let anywhere = ResourceRequest::anywhere(1, Resource::new(64, 1), 1, allocation);
    let strict = ResourceRequest { relax_locality: false, ..anywhere.clone() };
    vec![
        ResourceRequest { location: host.to_owned(), ..anywhere },
        ResourceRequest { location: "/default-rack".to_owned(), ..strict.clone() },
        strict,
    ]
}

fn node(configuration: &Configuration, container: &Container, token: Token) -> ContainerManagement {
    ContainerManagement::new(configuration, &container.node, token).unwrap()
}

async fn start(node: &ContainerManagement, container: &Container, command: &str) {
    let context = ContainerLaunchContext { commands: vec![command.to_owned()], ..ContainerLaunchContext::default() };
    let failures = node.start(vec![StartContainer { context, token: container.token.clone() }]).await.unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn containers_are_asked_for_started_looked_at_and_stopped() {
    let cluster = Cluster::shared(Variant::Plain);
    let (yarn, configuration) = (client(&cluster, "alice"), configuration(&cluster));
    let hdfs = cluster.hdfs_as("alice");
    let path = "/user/alice/rpc-test/greeting";
    hdfs.put(path, b"good morning");
    let status = hdfs.status(path).unwrap();
    let file = LocalResource::file(hdfs.uri(path), status.length, status.modification_time as i64);

    let application = Application::start(&yarn, &configuration, |submission| {
        submission.master.credentials.add_secret("key", Secret::new(*b"open sesame"));
    })
    .await;
    let secret = application.credentials(1).await.secret("key").cloned();
    assert_eq!(secret, Some(Secret::new(*b"open sesame")), "secret keys arrive in the container");
    let (mut master, registration) = application.register(1).await;
    assert_eq!(registration.maximum, Resource::new(4096, 8));
    assert!(registration.queue.ends_with("default") && registration.counts_vcores, "{registration:?}");
    assert!(registration.previous_containers.is_empty());

    master.next.asks = on_host("127.0.0.3", 7);
    let (first, token) = container(&mut master, ResourceRequest::anywhere(2, Resource::new(100, 1), 0, 7)).await;
    assert_eq!((first.node.host.as_str(), first.resource), ("127.0.0.3", Resource::new(64, 1)));
    let node = node(&configuration, &first, token.unwrap());

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display();
    let command =
        format!("cp greeting $ROLE {out}; trap 'exit 9' TERM; touch {out}/ready; while true; do sleep 0.1; done");
    let mut context = ContainerLaunchContext { commands: vec![command], ..ContainerLaunchContext::default() };
    context.local_resources.insert("greeting".to_owned(), file);
    context.environment.insert("ROLE".to_owned(), "container_tokens".to_owned());
    context.credentials.add_secret("key", Secret::new(*b"for the worker"));
    let failures =
        node.start(vec![StartContainer { context: context.clone(), token: first.token.clone() }]).await.unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    let began = std::time::Instant::now();
    while !folder.path().join("ready").exists() {
        assert!(began.elapsed() < TIMEOUT, "the container did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(std::fs::read(folder.path().join("greeting")).unwrap(), b"good morning");
    let handed = hadoop_rpc::Credentials::read(&folder.path().join("container_tokens")).unwrap();
    assert_eq!(handed.secret("key"), Some(&Secret::new(*b"for the worker")));

    // A token opens the door once.
    let failures = node.start(vec![StartContainer { context, token: first.token.clone() }]).await.unwrap();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0].exception.class.contains("hadoop") && failures[0].container == first.id, "{failures:?}");

    let (statuses, failures) = node.statuses(&[first.id]).await.unwrap();
    assert!(failures.is_empty() && statuses.len() == 1);
    assert_eq!((statuses[0].state, statuses[0].exit), (ContainerState::Running, ContainerExit::Running));
    node.signal(first.id, ContainerSignal::Graceful).await.unwrap();
    let ended = master.until(|response| response.completed.into_iter().next()).await;
    assert_eq!((ended.id, ended.exit), (first.id, ContainerExit::Process(9)), "{ended:?}");

    let (second, _) = container(&mut master, ResourceRequest::anywhere(3, Resource::new(64, 1), 1, 8)).await;
    master.next.releases = vec![second.id];
    let ended = master.until(|response| response.completed.into_iter().next()).await;
    assert_eq!((ended.id, ended.exit), (second.id, ContainerExit::Aborted), "{ended:?}");

    master.finish().await;
    let report = yarn.report(application.id).await.unwrap();
    assert_eq!((report.final_status, report.diagnostics.trim()), (FinalStatus::Succeeded, "all is said"));
    assert!(hdfs.delete("/user/alice/rpc-test"));
}

#[tokio::test]
async fn containers_are_stopped_and_hosts_avoided() {
    let cluster = Cluster::shared(Variant::Plain);
    let (yarn, configuration) = (client(&cluster, "alice"), configuration(&cluster));
    let application = Application::start(&yarn, &configuration, |_| {}).await;
    let (mut master, _) = application.register(1).await;

    master.next.blacklist_additions = vec!["127.0.0.2".to_owned()];
    let mut started = Vec::new();
    for number in 0..3 {
        let (given, token) =
            container(&mut master, ResourceRequest::anywhere(1, Resource::new(64, 1), 1, number)).await;
        assert_eq!(given.node.host, "127.0.0.3", "the other one is on the list");
        started.push((given, token));
    }
    master.next.blacklist_removals = vec!["127.0.0.2".to_owned()];
    master.next.asks = on_host("127.0.0.2", 9);
    let (given, _) = container(&mut master, ResourceRequest::anywhere(5, Resource::new(64, 1), 0, 9)).await;
    assert_eq!(given.node.host, "127.0.0.2");

    let token = started.iter().find_map(|(_, token)| token.clone()).unwrap();
    let guess = Token { password: Secret::new(*b"a guess"), ..token.clone() };
    let error = node(&configuration, &started[0].0, guess).statuses(&[]).await.unwrap_err();
    assert!(matches!(error, hadoop_rpc::Error::Authentication { .. }), "{error:?}");
    let node = node(&configuration, &started[0].0, token);
    let context = ContainerLaunchContext { commands: vec!["sleep 100".into()], ..ContainerLaunchContext::default() };
    let all = started.iter().map(|(given, _)| StartContainer { context: context.clone(), token: given.token.clone() });
    assert!(node.start(all.collect()).await.unwrap().is_empty());
    let ids: Vec<_> = started.iter().map(|(given, _)| given.id).collect();
    assert!(node.stop(&ids).await.unwrap().is_empty());
    let mut ended = Vec::new();
    master
        .until(|response| {
            ended.extend(response.completed);
            (ended.len() == 3).then_some(())
        })
        .await;
    for status in &ended {
        assert_eq!(status.exit, ContainerExit::StoppedByApplicationMaster, "{status:?}");
    }
    master.finish().await;
}

#[tokio::test]
async fn a_repeated_heartbeat_gets_the_same_answer() {
    let cluster = Cluster::shared(Variant::Plain);
    let (yarn, configuration) = (client(&cluster, "alice"), configuration(&cluster));
    let application = Application::start(&yarn, &configuration, |_| {}).await;
    let (mut master, _) = application.register(1).await;
    let asks = vec![ResourceRequest::anywhere(1, Resource::new(64, 1), 2, 0)];
    master.next.asks = asks;
    let mut again = master.next.clone();
    let mut one = master.heartbeat().await;
    let began = std::time::Instant::now();
    while one.allocated.is_empty() {
        assert!(began.elapsed() < TIMEOUT, "nothing came");
        tokio::time::sleep(Duration::from_millis(50)).await;
        again = master.next.clone();
        one = master.heartbeat().await;
    }
    assert_eq!(master.client.allocate(&again).await.unwrap(), one);
    let wrong = AllocateRequest { response_id: 77, ..AllocateRequest::default() };
    let error = master.client.allocate(&wrong).await.unwrap_err();
    assert!(error.is_remote("InvalidApplicationMasterRequestException"), "{error}");
    master.next.response_id = one.response_id;
    master.heartbeat().await;
    master.finish().await;
}

#[tokio::test]
async fn a_second_attempt_takes_over_the_containers() {
    let cluster = Cluster::shared(Variant::Plain);
    let (yarn, configuration) = (client(&cluster, "alice"), configuration(&cluster));
    let application = Application::start(&yarn, &configuration, |submission| submission.max_attempts = Some(2)).await;
    let (mut master, _) = application.register(1).await;
    master.next.asks = on_host("127.0.0.3", 0);
    let (kept, token) = container(&mut master, ResourceRequest::anywhere(2, Resource::new(64, 1), 0, 0)).await;
    let node_one = node(&configuration, &kept, token.unwrap());
    start(&node_one, &kept, "sleep 100").await;
    let began = std::time::Instant::now();
    while node_one.statuses(&[kept.id]).await.unwrap().0[0].state != ContainerState::Running {
        assert!(began.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The ResourceManager keeps what it knows to be running: when it hears that a later one has ended there, it knows.
    master.next.asks = on_host("127.0.0.3", 1);
    let (later, _) = container(&mut master, ResourceRequest::anywhere(2, Resource::new(64, 1), 0, 1)).await;
    start(&node_one, &later, "true").await;
    master.until(|response| response.completed.into_iter().find(|status| status.id == later.id)).await;

    application.fail(1);
    let (second, registration) = application.register(2).await;
    let ids: Vec<_> = registration.previous_containers.iter().map(|container| container.id).collect();
    assert_eq!(ids, [kept.id]);
    assert_eq!(registration.nm_tokens.len(), 1);
    let token = registration.nm_tokens[0].token.clone();
    let (statuses, _) = node(&configuration, &kept, token).statuses(&[kept.id]).await.unwrap();
    assert_eq!(statuses[0].state, ContainerState::Running);

    // The first attempt has no say any more.
    let error = master.client.allocate(&master.next).await.unwrap_err();
    assert!(error.is_remote("ApplicationAttemptNotFoundException"), "{error}");
    second.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_resource_manager_it_registers_again() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let (yarn, configuration) = (client(&cluster, "alice"), configuration(&cluster));
    let application = Application::start(&yarn, &configuration, |_| {}).await;
    let (mut master, _) = application.register(1).await;
    master.client = master.client.with_retry(hadoop_rpc::ipc::RetryPolicy::patient(TIMEOUT));
    let (kept, _) = container(&mut master, ResourceRequest::anywhere(1, Resource::new(64, 1), 1, 0)).await;
    let request = AllocateRequest { response_id: master.next.response_id, ..AllocateRequest::default() };
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            cluster.kill(Role::ResourceManager);
            cluster.restart(Role::ResourceManager);
        });
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                // Calls in the meantime wait for the ResourceManager rather than fail.
                let mut request = request;
                loop {
                    match master.client.allocate(&request).await {
                        Ok(response) => request.response_id = response.response_id,
                        Err(error) => return error,
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
    });
    assert!(error.is_remote("ApplicationMasterNotRegisteredException"), "{error}");
    let registration = master.client.register("127.0.0.1", 4242, "").await.unwrap().unwrap();
    assert!(registration.maximum.memory_mb > 0 && kept.id.application() == application.id);
    master.next = AllocateRequest::default();
    let (later, _) = container(&mut master, ResourceRequest::anywhere(1, Resource::new(64, 1), 1, 1)).await;
    assert!(later.id.epoch() > 0 && later.id.to_string().starts_with("container_e"), "{}", later.id);
    master.finish().await;
}
