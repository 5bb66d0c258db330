use flink_test_hadoop::{Cluster, Variant};

use crate::process::eventually;
use crate::user::User;

/// What the certificates' keys and tokens look like in text.
const MARKS: &[&str] = &["PRIVATE KEY"];

#[test]
fn no_secret_is_in_command_lines_environments_or_logs() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "secrets");
    let session = user.json(&["session", "-d", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap().to_owned();
    eventually("the ApplicationMaster runs", || !user.containers(&id).is_empty());
    let credentials = format!("{}/.flink-yarn/{id}/client.credentials", cluster.hdfs().home());
    let status = cluster.hdfs().status(&credentials).expect("the user's commands need it");
    assert_eq!(status.permission, "600");
    let folder = cluster.hdfs().status(&format!("{}/.flink-yarn/{id}", cluster.hdfs().home())).unwrap();
    assert_eq!(folder.permission, "700");
    let kept: serde_json::Value = serde_json::from_slice(&cluster.hdfs().get(&credentials)).unwrap();
    let token = kept["rest_token"].as_str().unwrap().to_owned();
    let secrets: Vec<&str> = MARKS.iter().copied().chain([&*token]).collect();
    for process in user.containers(&id) {
        let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        let seen = format!("{} {}", process.command, String::from_utf8_lossy(&environment));
        assert!(secrets.iter().all(|secret| !seen.contains(secret)), "{}", process.command);
    }
    user.call(&["kill", &id]).expect(0, &[]);
    user.end_of(&id);
    let logs = cluster.yarn().logs(&id);
    let application = cluster.yarn().application(&id).to_string();
    assert!(!logs.is_empty() && secrets.iter().all(|secret| !logs.contains(secret) && !application.contains(secret)));
}
