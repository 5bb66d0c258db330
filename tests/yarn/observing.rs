use flink_test_hadoop::{Cluster, Variant};

use crate::application::Application;
use crate::daemons::{Copying, put_lines};
use crate::process::eventually;
use crate::programs::program;
use crate::rest::Rest;
use crate::user::User;

/// Another host than the web proxy's.
const ELSEWHERE: [&str; 2] = ["--interface", "127.0.0.9"];

#[test]
fn rest_is_reached_through_the_proxy_and_with_the_token() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "rest");
    let session = user.json(&["session", "-d", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap();
    let keyed = ["--output", "json", &program("keyed_count"), "--events", "1000000000000", "--rate", "1000"];
    let job = user.json(&[&["run", "--detached"], &keyed[..]].concat());
    let job = job["job-id"].as_str().unwrap();
    let rest = Rest::of(&user, id);
    eventually("it runs", || rest.get(&format!("/v1/jobs/{job}/status"))["status"] == "RUNNING");
    let direct = format!("{}/v1/jobs/{job}", rest.url);
    let token = rest.authorization();
    let with_token = |words: &[&str]| rest.ask(&direct, &[&ELSEWHERE, &["--header", token.as_str()], words].concat());
    assert_eq!(with_token(&[]).status, 200);
    let wrong = rest.ask(&direct, &["--header", "Authorization: Bearer 0123456789abcdef0123456789abcdef"]);
    assert_eq!(wrong.status, 401, "a wrong token is worse than none: {}", wrong.body);
    // A browser that comes without one is sent to the proxy, which knows its user.
    let sent = rest.ask(&direct, &[&ELSEWHERE[..], &["--head"]].concat());
    assert!((300..400).contains(&sent.status) && sent.body.contains(&rest.proxy), "{}: {}", sent.status, sent.body);
    // The tracking URL that YARN shows is the proxy's, and leads to the API.
    let tracking = cluster.yarn().application(id)["trackingUrl"].as_str().unwrap().to_owned();
    assert!(tracking.contains("/proxy/"), "{tracking}");
    let opened = rest.ask(&tracking, &["--location"]);
    assert_eq!(opened.status, 200, "{tracking}: {}", opened.body);
    assert!(opened.body.contains("flink"), "{}", opened.body);
    let seen = rest.ask(&format!("{}/v1/jobs/{job}", rest.proxy), &[]);
    assert_eq!(seen.status, 200, "{}", seen.body);
    assert!(seen.body.contains("KeyedCount"), "{}", seen.body);
    let scraped = rest.ask(&format!("{}/metrics", rest.proxy), &[]);
    assert!(scraped.body.contains("flink_jobmanager_job_numSplitsLocal"), "{}", scraped.body);
    // Nobody changes anything through it, nor without the token.
    for url in [&direct, &format!("{}/v1/jobs/{job}", rest.proxy)] {
        let cancel = rest.ask(&format!("{url}?mode=cancel"), &["--request", "PATCH"]);
        assert!(!(200..300).contains(&cancel.status), "{url}: {}", cancel.status);
    }
    assert_eq!(rest.get(&format!("/v1/jobs/{job}/status"))["status"], "RUNNING");
    let cancel = with_token(&["--request", "PATCH"]);
    assert!((200..300).contains(&cancel.status), "{}", cancel.status);
    eventually("it is canceled", || rest.get(&format!("/v1/jobs/{job}/status"))["status"] == "CANCELED");
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
}

/// What a container has written is found while it runs and when its application has ended.
#[test]
fn logs_are_found_running_and_ended() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "streams");
    let session = user.json(&["session", "-d", "-s", "2", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap();
    // Four slots, so two TaskManagers.
    user.call(&["run", &program("cluster_tour")]).expect(0, &[]);
    let containers = user.containers(id);
    let find = |command: &str| {
        let found = containers.iter().filter(|process| process.command.contains(command));
        found.map(|process| process.container.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let (master, workers) = (find("appmaster"), find("taskmanager --yarn"));
    assert_eq!((master.len(), workers.len()), (1, 2), "{containers:?}");
    let logs = |words: &[&str]| user.call(&[&["logs", "-id", id], words].concat()).expect(0, &[]).stdout;
    let check = |when: &str| {
        for worker in &workers {
            let one = logs(&["--container", worker]);
            assert!(one.contains("worker started"), "{when}: {worker}:\n{one}");
        }
        for words in [&["--container", master.first().unwrap().as_str()][..], &["--jobmanager"]] {
            let of_master = logs(words);
            assert!(of_master.contains("asking for containers"), "{when} {words:?}:\n{of_master}");
            // Where each task went.
            assert!(workers.iter().all(|worker| of_master.contains(&format!("task_manager={worker}"))), "{of_master}");
        }
    };
    check("running");
    user.call(&["kill", id]).expect(0, &[]);
    // YARN collects them in its own time.
    cluster.yarn().logs(id);
    check("ended");
    let missing = user.call(&["logs", "-id", id, "--container", "container_1_0001_01_000002"]);
    assert_ne!(missing.code, Some(0));
}

/// Where YARN's own users look: 0 % for ever would say that nothing happens.
#[test]
fn yarn_shows_how_far_jobs_are() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "progress");
    put_lines(&user);
    let session = Application::session(&user, &["-D", "yarn.heartbeat.interval=1"]);
    let progress = || cluster.yarn().application(&session.id)["progress"].as_f64().unwrap_or_default();
    let copying = Copying::start(&user, &session, "copied");
    eventually("it is on its way", || (1.0..100.0).contains(&progress()));
    copying.end();
    eventually("all is done", || progress() == 100.0);
    session.end();
}
