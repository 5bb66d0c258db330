use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Role, Variant};
use hadoop_rpc::yarn::{ApplicationClient, ApplicationId, ApplicationMaster, ApplicationState, Resource};
use hadoop_rpc::{Credentials, Error, Secret, Token, User};

use crate::master::{client, configuration, submission};

#[tokio::test]
async fn servers_exceptions_have_class_message_and_host() {
    let cluster = Cluster::shared(Variant::Plain);
    let yarn = client(&cluster, "alice");
    let unknown = ApplicationId { cluster_timestamp: 1, id: 999 };
    let error = yarn.report(unknown).await.unwrap_err();
    assert!(error.is_remote("ApplicationNotFoundException"), "{error:?}");
    let exception = error.remote().unwrap();
    assert_eq!(exception.host, cluster.address(Role::ResourceManager, "client"));
    assert!(exception.class.starts_with("org.apache.hadoop.yarn.exceptions."), "{exception:?}");
    assert!(exception.message.contains("application_1_0999") && !exception.message.contains("\tat "), "{exception:?}");

    let mut other_queue = submission(&yarn, "true").await;
    other_queue.queue = Some("no-such".to_owned());
    let id = other_queue.id;
    yarn.submit(other_queue).await.expect("queues are looked at later");
    let mut report = yarn.report(id).await.unwrap();
    while !report.state.is_terminal() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        report = yarn.report(id).await.unwrap();
    }
    assert_eq!(report.state, ApplicationState::Failed);
    assert!(report.diagnostics.contains("no-such"), "{}", report.diagnostics);

    let mut too_large = submission(&yarn, "true").await;
    too_large.master_resource = Resource::new(1 << 20, 1);
    let error = yarn.submit(too_large).await.unwrap_err();
    assert!(error.is_remote("InvalidResourceRequestException"), "{error}");
}

#[tokio::test]
async fn an_application_of_somebody_else_is_not_killed() {
    let cluster = Cluster::shared(Variant::Plain);
    let yarn = client(&cluster, "alice");
    let wanted = submission(&yarn, "sleep 100").await;
    let id = wanted.id;
    yarn.submit(wanted).await.unwrap();
    let error = client(&cluster, "bob").kill(id, None).await.unwrap_err();
    assert!(error.to_string().contains("bob"), "{error}");
    while !yarn.kill(id, None).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn wrong_addresses_are_said_within_ten_seconds() {
    let cluster = Cluster::shared(Variant::Plain);
    let check = async |address: &str, expect: &[&str]| {
        let mut configuration = configuration(&cluster);
        configuration.set("yarn.resourcemanager.address", address);
        let yarn = ApplicationClient::new(&configuration, &User::simple("alice"), &Credentials::new()).unwrap();
        let began = Instant::now();
        let message = yarn.cluster_metrics().await.unwrap_err().to_string();
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        for words in expect {
            assert!(message.contains(words), "{message}");
        }
    };
    check(cluster.address(Role::ResourceManager, "web"), &["HTTP", "yarn.resourcemanager.address"]).await;
    check("127.0.0.1:1", &["127.0.0.1:1", "refused", "check yarn.resourcemanager.address"]).await;
    check("no-such-host.invalid:1", &["no-such-host.invalid", "check yarn.resourcemanager.address"]).await;
    // The NameNode does not know YARN's protocol.
    check(cluster.address(Role::NameNode, "rpc"), &["ApplicationClientProtocol"]).await;
}

#[tokio::test]
async fn wrong_tokens_are_refused_in_words() {
    let cluster = Cluster::shared(Variant::Plain);
    let mut configuration = configuration(&cluster);
    let token = Token { identifier: vec![0x0a, 2, 8, 1], password: Secret::new(*b"guess"), ..Token::default() };
    let master = ApplicationMaster::new(&configuration, token).unwrap();
    let error = master.register("h", 1, "").await.unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
    assert!(!error.to_string().contains("guess"), "{error}");

    // A port that wants a token, and a client that has none.
    configuration.set("yarn.resourcemanager.address", cluster.address(Role::ResourceManager, "scheduler"));
    let yarn = ApplicationClient::new(&configuration, &User::simple("alice"), &Credentials::new()).unwrap();
    let error = yarn.cluster_metrics().await.unwrap_err();
    assert!(error.to_string().contains("SIMPLE authentication is not enabled"), "{error}");
}
