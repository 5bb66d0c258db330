use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Variant};

use crate::master::{Application, client, configuration};

/// The ResourceManager makes a new key every 31 seconds here, and takes the old one for 15 more.
#[tokio::test]
async fn an_application_lives_on_with_rolled_tokens() {
    let cluster = Cluster::shared(Variant::Tokens);
    let (yarn, configuration) = (client(&cluster, "alice"), configuration(&cluster));
    let application = Application::start(&yarn, &configuration, |_| {}).await;
    let (mut master, _) = application.register(1).await;
    let (began, mut rolled) = (Instant::now(), Vec::new());
    while rolled.len() < 2 {
        if let Some(token) = master.heartbeat().await.am_rm_token {
            assert!(!rolled.contains(&token), "a token that is in use comes no second time");
            rolled.push(token);
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{} tokens came", rolled.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    master.heartbeat().await;
    master.finish().await;
}
