use std::env;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use flink_test_hadoop::{Cluster, RpcProtection, Variant};
use hadoop_rpc::credentials::DelegationTokenIdentifier;
use hadoop_rpc::hdfs::NameNode;
use hadoop_rpc::yarn::{
    ApplicationClient, ApplicationFilter, ApplicationId, ApplicationState, ContainerExit, ContainerLaunchContext,
    ContainerManagement, NodeId, NodeLogs, Resource, ResourceRequest, StartContainer,
};
use hadoop_rpc::{Configuration, Credentials, KerberosLogin, Token, User};

use crate::master::{Application, Master, TIMEOUT, configuration, read_log};

const SECURE: Variant = Variant::Kerberos(RpcProtection::Any);
/// A file in HDFS.
const FILE: &str = "/user/alice/rpc-protected";
const INSIDE: &str = "HADOOP_RPC_TEST_INSIDE";
const PROTECTIONS: [&str; 4] = ["authentication", "integrity", "privacy", "privacy,integrity,authentication"];

/// Runs a test of this program again in a process of its own, whose environment has the tickets of a user: the
/// library reads its settings from there.
fn with_tickets(cluster: &Cluster, user: &str, test: &str) {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .envs(cluster.environment())
        .env("KRB5CCNAME", format!("FILE:{}", cluster.tickets(user).display()))
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1 passed"), "{test} is not the test's name");
}

fn outside() -> bool {
    env::var_os(INSIDE).is_none()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

fn protected(protection: &str) -> Configuration {
    let mut configuration = Configuration::load().unwrap();
    configuration.set("hadoop.rpc.protection", protection);
    configuration
}

#[test]
fn tickets_and_tokens_open_every_server_with_each_protection() {
    if outside() {
        let cluster = Cluster::shared(SECURE);
        cluster.hdfs_as("alice").put(FILE, b"12345");
        with_tickets(&cluster, "alice", "kerberos::tickets_and_tokens_open_every_server_with_each_protection");
        return;
    }
    run(async {
        for protection in PROTECTIONS {
            every_server(&protected(protection)).await;
        }
    });
}

/// The servers of each of these clusters know one protection alone.
#[test]
fn every_call_works_where_one_protection_is_asked_for() {
    const NAME: &str = "kerberos::every_call_works_where_one_protection_is_asked_for";
    if outside() {
        for protection in RpcProtection::EACH {
            let cluster = Cluster::shared(Variant::Kerberos(protection));
            for key in ["hadoop.rpc.protection", "dfs.data.transfer.protection"] {
                assert_eq!(configuration(&cluster).get(key).as_deref(), protection.option(), "{key}");
            }
            cluster.hdfs_as("alice").put(FILE, b"12345");
            with_tickets(&cluster, "alice", NAME);
        }
        return;
    }
    run(async { every_server(&Configuration::load().unwrap()).await });
}

async fn every_server(configuration: &Configuration) {
    let user = User::current(configuration).unwrap();
    assert_eq!((user.name(), user.is_kerberos()), ("alice", true), "{user:?}");
    let none = Credentials::new();
    let name_node = NameNode::new(configuration, &user, &none, "").unwrap();
    let yarn = ApplicationClient::new(configuration, &user, &none).unwrap();
    let mut credentials = Credentials::new();
    let token = name_node.delegation_token("alice").await.unwrap().unwrap();
    check_token(&token);
    credentials.add_token("hdfs", token);
    let token = yarn.delegation_token("alice").await.unwrap().unwrap();
    check_token(&token);
    credentials.add_token("yarn", token);

    // From here on with the tokens alone.
    let user = User::simple("nobody");
    let name_node_by_token = NameNode::new(configuration, &user, &credentials, "").unwrap();
    assert_eq!(name_node_by_token.server_defaults().await.unwrap().replication, 2);
    for name_node in [&name_node, &name_node_by_token] {
        assert_eq!(name_node.block_locations(FILE, 0, u64::MAX).await.unwrap().file_length, 5);
    }
    let yarn_by_token = ApplicationClient::new(configuration, &user, &credentials).unwrap();
    assert_eq!(yarn_by_token.cluster_metrics().await.unwrap().active, 2);
    let error = yarn_by_token.delegation_token("alice").await.unwrap_err();
    assert!(error.to_string().contains("kerberos"), "a token gives no token: {error}");
    let renewer = yarn.token_renewer().unwrap();
    let mut handed = Credentials::new();
    handed.add_token("hdfs", name_node.delegation_token(&renewer).await.unwrap().unwrap());
    run_an_application(configuration, &yarn_by_token, &handed).await;

    for (alias, token) in credentials.tokens() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let (renewed, error) = if alias == "hdfs" {
            let renewed = name_node.renew_delegation_token(token).await.unwrap();
            name_node.cancel_delegation_token(token).await.unwrap();
            (renewed, name_node.renew_delegation_token(token).await.unwrap_err())
        } else {
            let renewed = yarn.renew_delegation_token(token).await.unwrap();
            yarn.cancel_delegation_token(token).await.unwrap();
            (renewed, yarn.renew_delegation_token(token).await.unwrap_err())
        };
        assert!(renewed > now, "{renewed}");
        assert!(error.to_string().contains("InvalidToken"), "{error}");
    }
    let cancelled = NameNode::new(configuration, &user, &credentials, "").unwrap();
    let message = cancelled.server_defaults().await.unwrap_err().to_string();
    assert!(message.contains("InvalidToken") && message.contains("get a new one"), "{message}");
}

fn check_token(token: &Token) {
    let identifier = DelegationTokenIdentifier::of(token).unwrap();
    assert_eq!((identifier.owner.split('@').next(), identifier.renewer.as_str()), (Some("alice"), "alice"));
    assert!(identifier.remaining(SystemTime::now()) > Duration::from_secs(60), "{identifier:?}");
    assert!(token.service.contains(':'), "{token:?}");
}

/// What a client asks the ResourceManager for, but for starting an application.
async fn look_at(yarn: &ApplicationClient, id: ApplicationId) {
    assert_eq!(yarn.report(id).await.unwrap().user, "alice");
    assert_eq!(yarn.attempts(id).await.unwrap().len(), 1);
    assert!(!yarn.containers(id.attempt(1)).await.unwrap().is_empty());
    assert_eq!(yarn.node_labels().await.unwrap(), []);
    assert!(!yarn.queue_acls().await.unwrap().is_empty());
    assert_eq!(yarn.nodes(&[]).await.unwrap().len(), 2);
    assert_eq!(yarn.queue("default").await.unwrap().unwrap().name.trim_start_matches("root."), "default");
    let filter = ApplicationFilter { users: vec!["alice".into()], ..ApplicationFilter::default() };
    assert!(yarn.applications(&filter).await.unwrap().iter().any(|report| report.id == id));
}

async fn kill(yarn: &ApplicationClient, id: ApplicationId) {
    let began = Instant::now();
    while !yarn.kill(id, Some("enough of it")).await.unwrap() {
        assert!(began.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(yarn.report(id).await.unwrap().state, ApplicationState::Killed);
}

/// Registers, starts and stops containers, finishes: every server, by tokens.
async fn run_an_application(configuration: &Configuration, yarn: &ApplicationClient, credentials: &Credentials) {
    let application = Application::start(yarn, configuration, |submission| {
        submission.cancel_tokens_when_complete = false;
        submission.master.credentials = credentials.clone();
    })
    .await;
    let (mut master, _) = application.register(1).await;
    master.ask(ResourceRequest::anywhere(1, Resource::new(64, 1), 1, 0));
    let (container, token) = master
        .until(|response| Some((response.allocated.into_iter().next()?, response.nm_tokens.into_iter().next()?.token)))
        .await;
    let first = (container.node.clone(), token.clone());
    let node = ContainerManagement::new(configuration, &container.node, token).unwrap();
    // Longer than what one sealed message holds.
    let environment = (0..40).map(|number| (format!("LONG{number}"), "x".repeat(4000))).collect();
    let commands = vec!["echo told ><LOG_DIR>/out; exit 5".into()];
    let context = ContainerLaunchContext { commands, environment, ..ContainerLaunchContext::default() };
    let failures = node.start(vec![StartContainer { context, token: container.token }]).await.unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    let ended = master.until(|response| response.completed.into_iter().next()).await;
    assert_eq!(ended.exit.status(), 5, "{ended:?}");
    let logs = NodeLogs::new(&container.node_http_address, User::current(configuration).unwrap());
    assert_eq!(read_log(&logs, container.id, "out", None).await, "told\n");
    let nobody = NodeLogs::new(&container.node_http_address, User::simple("alice"));
    let error = nobody.list(container.id).await.unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
    look_at(yarn, application.id).await;
    stop_one(&mut master, configuration, first).await;
    master.finish().await;
    let another = Application::start(yarn, configuration, |submission| {
        submission.cancel_tokens_when_complete = false;
        submission.master.credentials = credentials.clone();
    })
    .await;
    kill(yarn, another.id).await;
}

/// A container that is looked at and stopped, on whichever node.
async fn stop_one(master: &mut Master, configuration: &Configuration, known: (NodeId, Token)) {
    // A node's token comes with its first container only.
    let mut tokens = vec![known];
    master.ask(ResourceRequest::anywhere(2, Resource::new(64, 1), 1, 1));
    let container = master
        .until(|response| {
            tokens.extend(response.nm_tokens.into_iter().map(|given| (given.node, given.token)));
            response.allocated.into_iter().next()
        })
        .await;
    let token = tokens.into_iter().find(|(node, _)| *node == container.node).unwrap().1;
    let node = ContainerManagement::new(configuration, &container.node, token).unwrap();
    let context = ContainerLaunchContext { commands: vec!["sleep 100".into()], ..ContainerLaunchContext::default() };
    assert!(node.start(vec![StartContainer { context, token: container.token }]).await.unwrap().is_empty());
    let (statuses, failures) = node.statuses(&[container.id]).await.unwrap();
    assert!(failures.is_empty() && statuses[0].id == container.id, "{statuses:?} {failures:?}");
    assert!(node.stop(&[container.id]).await.unwrap().is_empty());
    let ended = master.until(|response| response.completed.into_iter().next()).await;
    assert_eq!((ended.id, ended.exit), (container.id, ContainerExit::StoppedByApplicationMaster), "{ended:?}");
}

#[test]
fn a_keytab_is_a_login() {
    if outside() {
        let cluster = Cluster::shared(SECURE);
        with_tickets(&cluster, "no-such-user", "kerberos::a_keytab_is_a_login");
        return;
    }
    run(async {
        let configuration = Configuration::load().unwrap();
        let folder = configuration.files()[0].ancestors().nth(3).unwrap().to_owned();
        let login = |principal: &str, file: &str| KerberosLogin::Keytab {
            principal: principal.to_owned(),
            file: folder.join("kdc").join(file),
        };
        // Without tickets the user is a guess, and the servers say no in words.
        let guess = User::current(&configuration).unwrap();
        assert!(!guess.is_kerberos() && guess.no_ticket().is_some(), "{guess:?}");
        let yarn = ApplicationClient::new(&configuration, &guess, &Credentials::new()).unwrap();
        let message = yarn.cluster_metrics().await.unwrap_err().to_string();
        assert!(message.contains("kinit"), "{message}");

        let user = User::kerberos_login(&configuration, login("bob", "bob.keytab")).unwrap();
        assert_eq!(user.name(), "bob");
        let yarn = ApplicationClient::new(&configuration, &user, &Credentials::new()).unwrap();
        assert_eq!(yarn.cluster_metrics().await.unwrap().active, 2);

        let message = User::kerberos_login(&configuration, login("alice", "bob.keytab")).unwrap_err().to_string();
        assert!(message.contains("bob.keytab") && message.contains("alice"), "{message}");
        let message = User::kerberos_login(&configuration, login("bob", "none.keytab")).unwrap_err().to_string();
        assert!(message.contains("none.keytab"), "{message}");
    });
}

#[test]
fn a_server_that_is_somebody_else_is_not_spoken_to() {
    if outside() {
        let cluster = Cluster::shared(SECURE);
        with_tickets(&cluster, "alice", "kerberos::a_server_that_is_somebody_else_is_not_spoken_to");
        return;
    }
    run(async {
        let mut configuration = Configuration::load().unwrap();
        let user = User::current(&configuration).unwrap();
        let check = async |configuration: &Configuration, expect: &[&str]| {
            let yarn = ApplicationClient::new(configuration, &user, &Credentials::new()).unwrap();
            let message = yarn.cluster_metrics().await.unwrap_err().to_string();
            for words in expect {
                assert!(message.contains(words), "{message}");
            }
        };
        configuration.set("yarn.resourcemanager.principal", "evil/_HOST@ELSEWHERE");
        check(&configuration, &["yarn.resourcemanager.principal expects evil/"]).await;
        configuration.set("yarn.resourcemanager.principal", "");
        check(&configuration, &["yarn.resourcemanager.principal is not set"]).await;
        // Who does not set up Kerberos learns that it is needed.
        configuration.set("hadoop.security.authentication", "simple");
        let simple = User::current(&configuration).unwrap();
        let yarn = ApplicationClient::new(&configuration, &simple, &Credentials::new()).unwrap();
        let message = yarn.cluster_metrics().await.unwrap_err().to_string();
        assert!(message.contains("hadoop.security.authentication"), "{message}");
    });
}

#[test]
fn a_common_protection_is_needed() {
    if outside() {
        let cluster = Cluster::shared(Variant::Kerberos(RpcProtection::Privacy));
        assert!(configuration(&cluster).get("hadoop.rpc.protection").is_some());
        with_tickets(&cluster, "alice", "kerberos::a_common_protection_is_needed");
        return;
    }
    run(async {
        let user = User::current(&Configuration::load().unwrap()).unwrap();
        let name_node =
            |protection: &str| NameNode::new(&protected(protection), &user, &Credentials::new(), "").unwrap();
        assert_eq!(name_node("authentication,privacy").server_defaults().await.unwrap().replication, 2);
        let message = name_node("authentication").server_defaults().await.unwrap_err().to_string();
        assert!(message.contains("hadoop.rpc.protection allows authentication"), "{message}");
    });
}
