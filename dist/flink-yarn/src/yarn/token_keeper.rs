use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flink_appmaster::server::Handle;
use flink_appmaster::yarn::TokenSchedule;
use flink_graph::{Configuration, options};
use flink_protocol::deployment::ApplicationDescription;
use hadoop_rpc::credentials::DelegationTokenIdentifier;
use hadoop_rpc::hdfs::NameNode;
use hadoop_rpc::ipc::RetryPolicy;
use hadoop_rpc::{Credentials, KerberosLogin, Token, User, user};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::environment::StartError;
use super::token_files::TokenFiles;

/// How long a NameNode is waited for.
const FIRST_TOKENS_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest time for a NameNode to give a token, and to tell how long it is good. All are asked at the same time.
const NAME_NODE_LIMIT: Duration = Duration::from_secs(45);

/// The same before the ApplicationMaster is registered: YARN does not wait for long, and those that are missing are asked
/// again afterwards.
const FIRST_NAME_NODE_LIMIT: Duration = Duration::from_secs(10);

/// The life of a token where the NameNode does not tell and the configuration neither: Hadoop's default.
const DEFAULT_LIFE: Duration = Duration::from_hours(24);

/// Takes principal and keytab out of the application's configuration: they are the ApplicationMaster's alone, no
/// TaskManager and no program logs in with them.
pub(super) fn take_login(configuration: &mut Configuration) -> Result<Option<KerberosLogin>, StartError> {
    let mut take = |key: &str| configuration.0.remove(key).filter(|text| !text.is_empty());
    let (principal, file) = (take(options::KERBEROS_PRINCIPAL.key), take(options::KERBEROS_KEYTAB.key));
    let Some((principal, file)) = principal.zip(file) else { return Ok(None) };
    // The keytab lies in the container's folder.
    let file: PathBuf = std::env::current_dir()?.join(file);
    Ok(Some(KerberosLogin::Keytab { principal, file }))
}

/// Tokens for the application's file systems. With a keytab it obtains new ones before the present ones end, so that the
/// application outlives any of them; without one, what the client has obtained is all that there is, and the
/// ResourceManager renews that up to its end.
pub(super) struct TokenKeeper {
    login: Option<KerberosLogin>,
    hadoop: hadoop_rpc::Configuration,
    name_nodes: BTreeSet<String>,
    schedule: TokenSchedule,
    began: Instant,
    files: TokenFiles,
    newest: watch::Sender<Credentials>,
    /// Whether tokens were obtained before TaskManagers could be told of any.
    has_own: bool,
}

impl TokenKeeper {
    /// With the login of [`take_login`], which counts on a secure cluster only.
    pub(super) fn new(
        login: Option<KerberosLogin>,
        hadoop: &hadoop_rpc::Configuration,
        description: &ApplicationDescription,
        files: TokenFiles,
    ) -> Result<Self, StartError> {
        let is_secure = user::is_kerberos(hadoop)?;
        Ok(Self {
            login: login.filter(|_| is_secure),
            hadoop: hadoop.clone(),
            name_nodes: description.name_nodes.clone(),
            schedule: TokenSchedule::new(&description.configuration)?,
            began: Instant::now(),
            newest: watch::Sender::new(files.for_programs()),
            files,
            has_own: false,
        })
    }

    /// The newest tokens, for containers.
    pub(super) fn newest(&self) -> watch::Receiver<Credentials> {
        self.newest.subscribe()
    }

    /// The file from which programs read them.
    pub(super) fn file_for_programs(&self) -> PathBuf {
        self.files.programs().to_owned()
    }

    /// Obtains tokens of its own, if there is a keytab: those of the application's start may have ended before this attempt
    /// began. When it fails, they are what there is.
    pub(super) async fn begin(&mut self) {
        if let Some(login) = self.login.clone() {
            self.has_own = self.obtain(&login, FIRST_NAME_NODE_LIMIT).await;
        }
    }

    /// Obtains new tokens again and again, and hands them to the TaskManagers. Does not end.
    pub(super) async fn run(mut self, handle: Handle) {
        let Some(login) = self.login.clone() else { return std::future::pending().await };
        // TaskManagers that outlived an attempt may have newer ones than those of the application's start.
        if self.has_own {
            handle.delegation_tokens(self.encoded()).await;
        }
        loop {
            tokio::time::sleep_until((self.began + self.schedule.due()).into()).await;
            if self.obtain(&login, NAME_NODE_LIMIT).await {
                handle.delegation_tokens(self.encoded()).await;
            }
        }
    }

    fn encoded(&self) -> Vec<u8> {
        self.newest.borrow().encode().expose().to_vec()
    }

    async fn obtain(&mut self, login: &KerberosLogin, limit: Duration) -> bool {
        let taken = match obtain(&self.hadoop, login, &self.name_nodes, limit).await {
            Ok(obtained) => self.take(obtained),
            Err(error) => Err(error),
        };
        if let Err(error) = &taken {
            self.schedule.failed(self.began.elapsed());
            let again_in = self.schedule.due().saturating_sub(self.began.elapsed());
            tracing::warn!(%error, ?again_in, "no new tokens for file systems; the present ones stay in use");
        }
        taken.is_ok()
    }

    fn take(&mut self, obtained: Obtained) -> Result<(), StartError> {
        let Obtained { tokens, life, missing } = obtained;
        self.files.replace(&tokens)?;
        self.newest.send_replace(self.files.for_programs());
        self.schedule.obtained(self.began.elapsed(), life);
        tracing::info!(tokens = tokens.tokens().count(), ?life, "new tokens for file systems");
        if !missing.is_empty() {
            self.schedule.failed(self.began.elapsed());
            tracing::warn!(
                missing = missing.join("; "),
                "some file systems have given no new token; they are asked again"
            );
        }
        Ok(())
    }
}

/// What NameNodes have given.
struct Obtained {
    tokens: Credentials,
    /// How long the first of the tokens to end is good.
    life: Duration,
    /// Those that have given none, and why.
    missing: Vec<String>,
}

/// Logs in and asks each NameNode for a token, all at the same time. One that gives none within the limit keeps nobody from
/// those of the others; when none gives one, it is an error.
async fn obtain(
    hadoop: &hadoop_rpc::Configuration,
    login: &KerberosLogin,
    name_nodes: &BTreeSet<String>,
    limit: Duration,
) -> Result<Obtained, StartError> {
    let (configuration, login) = (hadoop.clone(), login.clone());
    let user = tokio::task::spawn_blocking(move || User::kerberos_login(&configuration, login)).await??;
    let mut asked = JoinSet::new();
    for authority in name_nodes {
        let (hadoop, user, authority) = (hadoop.clone(), user.clone(), authority.clone());
        asked.spawn(async move {
            let given = tokio::time::timeout(limit, token_of(&hadoop, &user, &authority)).await;
            (authority, given.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs()).into())))
        });
    }
    let (mut tokens, mut shortest, mut missing) = (Credentials::new(), None, Vec::new());
    while let Some(answer) = asked.join_next().await {
        match answer? {
            (_, Ok(Some((token, life)))) => {
                shortest = Some(shortest.map_or(life, |shortest: Duration| shortest.min(life)));
                tokens.replace_token(token);
            }
            (_, Ok(None)) => {}
            (authority, Err(error)) => missing.push(format!("{authority}: {error}")),
        }
    }
    if tokens.is_empty() && !missing.is_empty() {
        return Err(missing.join("; ").into());
    }
    Ok(Obtained { tokens, life: shortest.unwrap_or(DEFAULT_LIFE), missing })
}

/// The token of one NameNode, and how long it is good; none where it gives none.
async fn token_of(
    hadoop: &hadoop_rpc::Configuration,
    user: &User,
    authority: &str,
) -> Result<Option<(Token, Duration)>, StartError> {
    let renewer = user.principal().unwrap_or_else(|| user.name());
    let name_node = NameNode::new(hadoop, user, &Credentials::new(), authority)?;
    let name_node = name_node.with_retry(RetryPolicy::patient(FIRST_TOKENS_TIMEOUT));
    let Some(token) = name_node.delegation_token(renewer).await? else { return Ok(None) };
    let life = life(hadoop, &name_node, &token).await;
    Ok(Some((token, life)))
}

/// How long a token that is not renewed is good. Only its renewal tells that.
async fn life(hadoop: &hadoop_rpc::Configuration, name_node: &NameNode, token: &Token) -> Duration {
    let issued = DelegationTokenIdentifier::of(token).and_then(|token| u64::try_from(token.issued_ms).ok());
    match (name_node.renew_delegation_token(token).await, issued) {
        // Both times are the NameNode's, so that it does not matter what clock we have.
        (Ok(end), Some(issued)) => Duration::from_millis(end.saturating_sub(issued)),
        (Ok(_), None) => DEFAULT_LIFE,
        (Err(error), _) => {
            let configured = hadoop.get_i64("dfs.namenode.delegation.token.renew-interval").ok().flatten();
            let life = configured.and_then(|millis| u64::try_from(millis).ok());
            let life = life.map_or(DEFAULT_LIFE, Duration::from_millis);
            tracing::warn!(%error, ?life, "the NameNode does not tell how long tokens are good; a guess is used");
            life
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_nobody_elses() {
        let mut configuration = Configuration::default();
        configuration
            .set(options::KERBEROS_PRINCIPAL.key, "alice@REALM")
            .set(options::KERBEROS_KEYTAB.key, "krb5.keytab");
        configuration.set("parallelism.default", "2");
        let login = take_login(&mut configuration).unwrap();
        let file = std::env::current_dir().unwrap().join("krb5.keytab");
        assert_eq!(login, Some(KerberosLogin::Keytab { principal: "alice@REALM".to_owned(), file }));
        assert_eq!(configuration.0.into_keys().collect::<Vec<_>>(), ["parallelism.default"]);
        assert_eq!(take_login(&mut Configuration::default()).unwrap(), None);
    }
}
