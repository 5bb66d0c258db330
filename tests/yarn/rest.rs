use std::process::Command;

use flink_test_hadoop::Role;
use serde_json::Value;

use crate::user::User;

/// The REST API of an application, as its user reaches it.
#[derive(Clone)]
pub(crate) struct Rest {
    /// The attempt that leads.
    pub(crate) attempt: Option<u64>,
    /// Where it listens.
    pub(crate) url: String,
    /// Where YARN's web proxy shows it.
    pub(crate) proxy: String,
    /// What it asks for.
    pub(crate) token: String,
}

/// An answer, with its status.
pub(crate) struct Answer {
    /// 0 when nobody answered.
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Rest {
    /// Of an application that runs.
    #[track_caller]
    pub(crate) fn of(user: &User<'_>, application: &str) -> Self {
        Self::find(user, application).unwrap_or_else(|| panic!("{application} has no leader"))
    }

    /// Of an application that has a leader.
    #[track_caller]
    pub(crate) fn find(user: &User<'_>, application: &str) -> Option<Self> {
        let hdfs = user.cluster.hdfs();
        let folder = format!("{}/.flink-yarn/{application}", hdfs.home());
        hdfs.status(&folder)?;
        let number = |name: &str| name.strip_prefix("leader.")?.strip_suffix(".json")?.parse::<u64>().ok();
        let latest = hdfs.list(&folder).iter().filter_map(|file| number(&file.name)).max()?;
        let [leader, keys] = [&format!("leader.{latest}.json"), "client.credentials"].map(|name| {
            let path = format!("{folder}/{name}");
            hdfs.status(&path)?;
            serde_json::from_slice::<Value>(&hdfs.get(&path)).ok()
        });
        let (leader, keys) = (leader?, keys?);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Some(Self {
            attempt: leader["epoch"].as_u64(),
            url: text(&leader["rest_url"]),
            proxy: format!("http://{}/proxy/{application}", user.cluster.address(Role::ResourceManager, "web")),
            token: text(&keys["rest_token"]),
        })
    }

    /// Asks directly, with the token.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask(&format!("{}{path}", self.url), &["--header", &self.authorization()]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
    }

    /// The header with the token.
    pub(crate) fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Asks any URL, with words for curl.
    pub(crate) fn ask(&self, url: &str, words: &[&str]) -> Answer {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"]);
        let output = command.args(words).arg(url).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or_default();
        Answer { status: status.trim().parse().unwrap_or_default(), body: body.to_owned() }
    }

    /// A metric of a job.
    #[track_caller]
    pub(crate) fn job_metric(&self, job: &str, name: &str) -> u64 {
        let found = self.get(&format!("/v1/jobs/{job}/metrics?get={name}"));
        let value = found[0]["value"].as_str().unwrap_or_else(|| panic!("{name} is not among the metrics: {found}"));
        value.parse().unwrap()
    }
}
