use std::process::Command;

use flink_test_hadoop::{Cluster, ContainerProcess, Variant};
use serde_json::Value;

use crate::process::eventually;
use crate::programs::program;
use crate::user::User;

/// Starts a session with these words, and a TaskManager in it with a job that runs for ever; its id.
fn session_with_a_task_manager(user: &User<'_>, words: &[&str]) -> (String, ContainerProcess) {
    let session = user.json(&[&["session", "-d", "--output", "json"], words].concat());
    let id = session["application-id"].as_str().unwrap().to_owned();
    let keyed = [&program("keyed_count"), "--events", "1000000000000", "--rate", "1000"];
    // Where its keys are is for the command to say, too.
    let staging = words.windows(2).find(|pair| pair[1].starts_with("yarn.staging-directory")).unwrap_or_default();
    user.call(&[&["run", "--detached"], staging, &keyed[..]].concat()).expect(0, &[]);
    let find = || user.containers(&id).into_iter().find(|process| process.command.contains("taskmanager --yarn"));
    eventually("a TaskManager runs", || find().is_some());
    let task_manager = find().unwrap();
    (id, task_manager)
}

fn folder_of(process: &ContainerProcess) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{}/cwd", process.pid)).unwrap()
}

fn end(user: &User<'_>, id: &str) {
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
}

#[test]
fn yarn_is_asked_for_what_the_options_say() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "asked");
    let words = ["-jm", "192", "-tm", "320m", "-s", "3", "-nm", "a name", "-at", "my type", "-qu", "other"];
    let properties = [
        "-D",
        "yarn.tags=nightly,team-a",
        "-D",
        "yarn.application.priority=3",
        "-D",
        "yarn.appmaster.vcores=2",
        "-D",
        "yarn.application-attempts=1",
    ];
    let (id, _) = session_with_a_task_manager(&user, &[&words[..], &properties[..]].concat());
    eventually("both containers are counted", || cluster.yarn().application(&id)["runningContainers"] == 2);
    let told = cluster.yarn().application(&id);
    let expected = [
        ("name", Value::from("a name")),
        ("queue", "root.other".into()),
        ("applicationType", "my type".into()),
        ("applicationTags", "nightly,team-a".into()),
        ("priority", 3.into()),
        // 192 and 320 MB are multiples of the least allocation, 64 MB; two cores, and one for each of three slots.
        ("allocatedMB", 512.into()),
        ("allocatedVCores", 5.into()),
    ];
    for (key, value) in expected {
        assert_eq!(told[key], value, "{key}: {told}");
    }
    // With one attempt there is no second one.
    let master = user.containers(&id).into_iter().find(|process| process.command.contains("appmaster")).unwrap();
    crate::process::signal("KILL", master.pid);
    let (status, diagnostics) = user.end_of(&id);
    assert_eq!(status, "FAILED", "{diagnostics}");
    let attempts = cluster.yarn().get(&format!("apps/{id}/appattempts"));
    assert_eq!(attempts["appAttempts"]["appAttempt"].as_array().unwrap().len(), 1, "{attempts}");
    end(&user, &id);
}

#[test]
fn others_may_see_and_end_what_the_lists_allow() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "lists");
    let lists = ["-D", "yarn.view.acls=alice", "-D", "yarn.modify.acls=bob"];
    let session = user.json(&[&["session", "-d", "--output", "json"], &lists[..]].concat());
    let id = session["application-id"].as_str().unwrap();
    let kill_as = |name: &str| {
        let kill = std::panic::AssertUnwindSafe(|| cluster.yarn_as(name).kill(id));
        std::panic::catch_unwind(kill).is_ok()
    };
    // Who may see it sees where it is; for others YARN leaves that out.
    let seen_by = |name: &str| cluster.yarn_as(name).application(id)["amHostHttpAddress"].is_string();
    assert!(seen_by("alice") && !seen_by("bob"), "alice {}, bob {}", seen_by("alice"), seen_by("bob"));
    assert!(!kill_as("alice"), "alice may look and no more");
    assert_eq!(cluster.yarn().application(id)["state"], "RUNNING");
    assert!(kill_as("bob"));
    eventually("it ends", || cluster.yarn().application(id)["state"] == "KILLED");
    // Nobody was left to take its folder away.
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
}

#[test]
fn what_is_shipped_is_in_every_container() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "shipped");
    let write = |path: &str, text: &str| {
        let path = user.local(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let file = write("dictionary.txt", "one");
    write("rules/deep/rule.txt", "two");
    write("packed/inside.txt", "three");
    let archive = user.local("data.tar.gz").display().to_string();
    let packed = Command::new("tar").args(["-czf", &archive, "-C"]).arg(user.local("")).arg("packed").status().unwrap();
    assert!(packed.success());
    let folder = user.local("rules").display().to_string();
    let (id, task_manager) =
        session_with_a_task_manager(&user, &["-t", &folder, "--ship", &file, "--ship-archive", &archive]);
    let master = user.containers(&id).into_iter().find(|process| process.command.contains("appmaster")).unwrap();
    for process in [&task_manager, &master] {
        let read = |name: &str| std::fs::read_to_string(folder_of(process).join(name)).unwrap_or_default();
        let found = ["dictionary.txt", "rules/deep/rule.txt", "data.tar.gz/packed/inside.txt"].map(read);
        assert_eq!(found, ["one", "two", "three"], "{}", process.command);
    }
    end(&user, &id);
}

#[test]
fn files_go_where_the_staging_directory_is_with_as_many_replicas() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "staging");
    let place = format!("yarn.staging-directory={}", user.uri("stage"));
    let session = user.json(&["session", "-d", "--output", "json", "-D", &place, "-D", "yarn.file-replication=1"]);
    let id = session["application-id"].as_str().unwrap();
    let hdfs = cluster.hdfs();
    let folder = user.path("stage/.flink-yarn");
    assert_eq!(hdfs.status(&format!("{folder}/{id}")).expect("its folder").permission, "700");
    let artifacts = hdfs.list(&format!("{folder}/artifacts"));
    assert_eq!(artifacts.len(), 1, "the binary: {artifacts:?}");
    let stored = hdfs.list(&format!("{folder}/artifacts/{}", artifacts[0].name));
    assert_eq!((stored.len(), stored[0].replication), (1, 1), "{stored:?}");
    assert!(hdfs.status(&format!("{}/.flink-yarn/{id}", hdfs.home())).is_none(), "nothing in the usual place");
    let input = user.put_text("text", 1);
    let run = ["run", "-D", &place, &program("wordcount"), "--input", &input, "--output", &user.uri("counts")];
    user.call(&run).expect(0, &[]);
    user.call(&["kill", id, "-D", &place]).expect(0, &[]);
    eventually("its folder goes", || hdfs.status(&format!("{folder}/{id}")).is_none());
}

#[test]
fn a_provided_binary_is_not_uploaded() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "provided");
    let hdfs = cluster.hdfs();
    let layout = flink_test_hadoop::Layout::default();
    hdfs.put_file(&user.path("lib/flink-yarn"), std::path::Path::new(&program("flink-yarn")), layout);
    hdfs.set_permission(&user.path("lib/flink-yarn"), "755");
    hdfs.put(&user.path("lib/notes.txt"), b"provided");
    hdfs.put(&user.path("usrlib/more.txt"), b"more");
    let lib = format!("yarn.provided.lib.dirs={}", user.uri("lib"));
    let usrlib = format!("yarn.provided.usrlib.dir={}", user.uri("usrlib"));
    let place = format!("yarn.staging-directory={}", user.uri("stage"));
    let (id, task_manager) = session_with_a_task_manager(&user, &["-D", &lib, "-D", &usrlib, "-D", &place]);
    let read = |name: &str| std::fs::read_to_string(folder_of(&task_manager).join(name)).unwrap_or_default();
    assert_eq!([read("notes.txt"), read("usrlib/more.txt")], ["provided", "more"]);
    let staged = hdfs.status(&user.path("stage/.flink-yarn/artifacts"));
    assert!(staged.is_none(), "nothing was uploaded: {staged:?}");
    let binary = std::fs::read_link(format!("/proc/{}/exe", task_manager.pid)).unwrap();
    // Everybody may read it, so that it is in the part of the node's cache that all users share.
    assert!(binary.display().to_string().contains("/local/filecache/"), "{}", binary.display());
    user.call(&["kill", &id, "-D", &place]).expect(0, &[]);
}

#[test]
fn containers_have_the_environment_that_the_options_say() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "environment");
    let words = [
        "-D",
        "containerized.master.env.GREETING=hello master",
        "-D",
        "containerized.taskmanager.env.GREETING=the worker's, of $CONTAINER_ID",
    ];
    let (id, task_manager) = session_with_a_task_manager(&user, &words);
    let master = user.containers(&id).into_iter().find(|process| process.command.contains("appmaster")).unwrap();
    let workers = || crate::process::children(task_manager.pid);
    eventually("a worker runs", || !workers().is_empty());
    // The shell that starts a container puts in what it knows.
    let of_worker = format!("the worker's, of {}", task_manager.container);
    for (pid, expected) in [(master.pid, "hello master"), (task_manager.pid, &*of_worker), (workers()[0], &of_worker)] {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let greeting = environment.split('\0').find_map(|line| line.strip_prefix("GREETING="));
        assert_eq!(greeting, Some(expected), "{environment}");
    }
    end(&user, &id);
}
