use std::time::Duration;

use flink_test_hadoop::{Cluster, Role, Variant};
use hadoop_rpc::hdfs::NameNode;
use hadoop_rpc::ipc::RetryPolicy;
use hadoop_rpc::yarn::{ApplicationClient, Resource, ResourceRequest};
use hadoop_rpc::{Credentials, User};

use crate::master::{Application, TIMEOUT, configuration};

const PATIENT: RetryPolicy = RetryPolicy::patient(TIMEOUT);

#[tokio::test(flavor = "multi_thread")]
async fn calls_find_the_active_servers() {
    let cluster = Cluster::exclusive(Variant::HighAvailability);
    let (configuration, user) = (configuration(&cluster), User::simple("alice"));
    let none = Credentials::new();
    let yarn = ApplicationClient::new(&configuration, &user, &none).unwrap().with_retry(PATIENT);
    let name_node = NameNode::new(&configuration, &user, &none, "").unwrap().with_retry(PATIENT);
    assert_eq!((yarn.endpoints().len(), name_node.endpoints().len()), (2, 2));
    let application = Application::start(&yarn, &configuration, |_| {}).await;
    let (mut master, _) = application.register(1).await;
    master.client = master.client.with_retry(PATIENT);
    master.heartbeat().await;

    for round in 0..2 {
        // Calls that are on their way when the active servers change are repeated at the others.
        let busy = {
            let (yarn, name_node, id) = (yarn.clone(), name_node.clone(), application.id);
            tokio::spawn(async move {
                for _ in 0..100 {
                    yarn.report(id).await.unwrap();
                    name_node.server_defaults().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        };
        tokio::task::block_in_place(|| {
            cluster.fail_over_name_node();
            cluster.fail_over_resource_manager();
        });
        busy.await.unwrap();
        let error = master.client.allocate(&master.next).await.unwrap_err();
        assert!(error.is_remote("ApplicationMasterNotRegisteredException"), "{error}");
        master.client.register("127.0.0.1", 4242, "").await.unwrap();
        master.next = hadoop_rpc::yarn::AllocateRequest::default();
        master.ask(ResourceRequest::anywhere(1, Resource::new(64, 1), 1, round));
        master.until(|response| response.allocated.into_iter().next()).await;
    }
    master.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_server_all_are_named() {
    let cluster = Cluster::exclusive(Variant::HighAvailability);
    let (configuration, user) = (configuration(&cluster), User::simple("alice"));
    let yarn = ApplicationClient::new(&configuration, &user, &Credentials::new()).unwrap();
    tokio::task::block_in_place(|| {
        cluster.kill(Role::ResourceManager);
        cluster.kill(Role::ResourceManager2);
    });
    let began = std::time::Instant::now();
    let message = yarn.cluster_metrics().await.unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(10));
    for endpoint in yarn.endpoints() {
        assert!(message.contains(&endpoint.to_string()), "{message}");
    }
    let name_node = NameNode::new(&configuration, &user, &Credentials::new(), "").unwrap().with_retry(PATIENT);
    tokio::task::block_in_place(|| cluster.kill(Role::NameNode));
    let calling = tokio::spawn(async move { name_node.server_defaults().await });
    tokio::task::block_in_place(|| cluster.fail_over_name_node());
    assert!(calling.await.unwrap().is_ok());
}
