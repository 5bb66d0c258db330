use flink_test_hadoop::{Cluster, Variant};

use crate::application::Application;
use crate::process::{eventually, signal};
use crate::programs::program;
use crate::resources::fill_with_masters;
use crate::user::{User, application_in, expected};

const MEGABYTE: usize = 1 << 20;

/// Everything below a folder, as paths from it.
fn tree(user: &User<'_>, folder: &str) -> Vec<String> {
    let Some(status) = user.cluster.hdfs().status(folder) else { return Vec::new() };
    if !status.is_folder {
        return vec![folder.to_owned()];
    }
    let inner = user.cluster.hdfs().list(folder);
    let mut found: Vec<String> = inner.iter().flat_map(|file| tree(user, &format!("{folder}/{}", file.name))).collect();
    found.push(folder.to_owned());
    found
}

fn words<'w>(staging: &'w str, setting: &'w str, input: &'w str, output: &'w str, program: &'w str) -> Vec<&'w str> {
    let options = ["run", "-t", "yarn-application", "-D", staging, "-D", setting];
    [&options[..], &[program, "--input", input, "--output", output]].concat()
}

/// Puts the same content there again, which gives the file another time stamp.
fn replace(user: &User<'_>, path: &str) {
    let content = user.cluster.hdfs().get(path);
    assert!(user.cluster.hdfs().delete(path));
    user.cluster.hdfs().put(path, &content);
}

#[test]
fn an_upload_that_was_cut_off_is_made_up_for() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "cut");
    let (input, output) = (user.put_text("text", 1), user.uri("counts"));
    let (staging, program) = (format!("yarn.staging-directory={}", user.uri("staging")), program("wordcount"));
    let large = user.local("large");
    std::fs::write(&large, vec![7_u8; 256 * MEGABYTE]).unwrap();
    let shipped = format!("yarn.ship-files={}", large.display());
    let words = words(&staging, &shipped, &input, &output, &program);
    let uploading = user.spawn(&words);
    let own = user.path("staging/.flink-yarn");
    let is_unfinished = |path: &String| path.ends_with("._COPYING_");
    eventually("the large file is on its way", || {
        tree(&user, &own).iter().any(|path| path.contains("/.large.") && is_unfinished(path))
    });
    signal("KILL", uploading.pid());
    assert_eq!(uploading.wait().code, None);
    let left = tree(&user, &own);
    assert!(left.iter().any(is_unfinished), "the upload was over: {left:#?}");
    let ended = user.call(&words).expect(0, &[]);
    assert_eq!(user.lines("counts"), expected(1));
    user.assert_tidy(&application_in(&ended.stderr));
    let left = tree(&user, &own);
    assert!(left.iter().any(|path| path.ends_with("/large")), "{left:#?}");
    let strange: Vec<&String> =
        left.iter().filter(|path| is_unfinished(path) || path.contains("/application_")).collect();
    assert!(strange.is_empty(), "{strange:#?}");
}

#[test]
fn a_file_that_changes_before_containers_start_is_told() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "changed");
    let (input, output) = (user.put_text("text", 1), user.uri("counts"));
    let (staging, program) = (format!("yarn.staging-directory={}", user.uri("staging")), program("wordcount"));
    let name = format!("yarn.application.name={}", user.name("changed"));
    let words = words(&staging, &name, &input, &output, &program);
    let fillers = fill_with_masters(&user);
    let running = user.spawn(&words);
    let application = Application::named(&user, &user.name("changed"));
    let own = user.path("staging/.flink-yarn");
    let binary = tree(&user, &own).into_iter().find(|path| path.ends_with("/flink-yarn")).unwrap();
    replace(&user, &binary);
    assert_eq!(cluster.yarn().application(&application.id)["state"], "ACCEPTED");
    fillers.into_iter().for_each(Application::end);
    let ended = running.wait().expect(1, &["could not fetch the files", "changed on src filesystem", &binary]);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(user.end_of(&application.id).0, "FAILED");
    let left = tree(&user, &own);
    assert!(!left.iter().any(|path| path.contains("/application_")), "{left:#?}");
    // The next one takes the file as it is now.
    user.call(&words).expect(0, &[]);
    assert_eq!(user.lines("counts"), expected(1));
}

#[test]
fn what_is_used_no_more_is_removed() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "unused");
    let staging = format!("yarn.staging-directory={}", user.uri("staging"));
    let artifacts = user.path("staging/.flink-yarn/artifacts");
    let hdfs = cluster.hdfs();
    let there = || hdfs.list(&artifacts).into_iter().map(|folder| folder.name).collect::<Vec<_>>();
    let shipped = user.local("shipped");
    std::fs::write(&shipped, user.name("shipped")).unwrap();
    let ship = format!("yarn.ship-files={}", shipped.display());
    let with_it = ["-D", &staging, "-D", &ship];
    let session = Application::session(&user, &with_it);
    let needed = there();
    assert!(needed.len() >= 2, "the command and what was shipped: {needed:?}");
    let days_ago = |days: u64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
        now - days * 24 * 3600 * 1000
    };
    let age = |name: &str, days: u64| hdfs.set_modified(&format!("{artifacts}/{name}"), days_ago(days));
    for (name, days) in [("unused", 31), ("of-late", 29)] {
        hdfs.put(&format!("{artifacts}/{name}/program"), b"once");
        age(name, days);
    }
    // Its next container needs what a session has been made of, however long ago that was.
    needed.iter().for_each(|name| age(name, 100));
    let told = user.call(&["doctor", "-D", &staging]).expect(0, &[]).stdout;
    assert!(told.contains(&format!("{artifacts} has {} files", needed.len() + 2)), "{told}");
    let without = Application::session(&user, &["-D", &staging]);
    let left = there();
    assert!(needed.iter().chain(&["of-late".to_owned()]).all(|name| left.contains(name)), "{needed:?} {left:?}");
    assert!(!left.contains(&"unused".to_owned()), "{left:?}");
    let noted = |name: &String| hdfs.status(&format!("{artifacts}/{name}")).unwrap().modification_time > days_ago(1);
    assert_eq!(needed.iter().filter(|name| noted(name)).count(), needed.len() - 1, "the command is used again");
    let end = |session: Application<'_>| user.call(&["kill", &session.id, "-D", &staging]).expect(0, &[]);
    end(session);
    let again = Application::session(&user, &with_it);
    assert!(needed.iter().all(noted), "{:?}", hdfs.list(&artifacts));
    end(without);
    end(again);
}

/// A session gives its TaskManagers the files of its own start.
#[test]
fn a_file_that_changes_under_a_session_is_told() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "changed-later");
    let (staging, own) = (format!("yarn.staging-directory={}", user.uri("staging")), user.path("staging/.flink-yarn"));
    let shipped = user.local("dictionary.txt");
    std::fs::write(&shipped, "one").unwrap();
    // A TaskManager that fills a node is on another one than the ApplicationMaster, which has the file already.
    let limit = "resourcemanager.start-worker.max-failure-rate=2";
    let words = ["-D", &staging, "--ship", &shipped.display().to_string(), "-tm", "4g", "-D", limit];
    let session = Application::session(&user, &words);
    let stored = tree(&user, &own).into_iter().find(|path| path.ends_with("/dictionary.txt")).unwrap();
    replace(&user, &stored);
    let (input, program) = (user.put_text("text", 1), program("wordcount"));
    let run = ["run", "-D", &staging, &program, "--input", &input, "--output", &user.uri("counts")];
    user.call(&run).expect(1, &["changed on src filesystem", &stored, "a new session"]);
    let (status, diagnostics) = user.end_of(&session.id);
    assert!(status == "FAILED" && diagnostics.contains("changed on src filesystem"), "{status}: {diagnostics}");
    eventually("containers end", || user.containers(&session.id).is_empty());
    let left = tree(&user, &own);
    assert!(!left.iter().any(|path| path.contains("/application_")), "{left:#?}");
    // The next one takes the file as it is now.
    let session = Application::session(&user, &words);
    user.call(&run).expect(0, &[]);
    assert_eq!(user.lines("counts"), expected(1));
    user.call(&["kill", &session.id, "-D", &staging]).expect(0, &[]);
}
