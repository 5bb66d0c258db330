use std::path::Path;

use flink_protocol::worker::TlsMaterial;
use flink_transport::{AuthorityError, CertificateAuthority, RestToken, Role, authority, token};
use serde::{Deserialize, Serialize};

use crate::error::{ClientError, Result};

/// The keys that a TaskManager and its workers use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TaskManagerKeys {
    task_manager: TlsMaterial,
    worker: TlsMaterial,
}

impl TaskManagerKeys {
    /// Stores them in a folder of the TaskManager's own.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        save(folder, Role::TaskManager, &self.task_manager)?;
        save(folder, Role::Worker, &self.worker)
    }
}

/// True when there is an authority (when one is needed) and a token already.
pub(crate) fn exist(folder: &Path, tls: bool) -> bool {
    let authority = !tls || folder.join("authority-key.pem").exists();
    authority && folder.join(token::TOKEN_FILE).exists()
}

/// Makes a new authority, the keys of one process of each kind, and a token, in a folder that only this user can read.
pub(crate) fn make(folder: &Path) -> Result<CertificateAuthority> {
    let id = token::random_bytes::<8>().map(|bytes| token::hex(&bytes)).unwrap_or_default();
    let authority = CertificateAuthority::new(&format!("standalone-{id}")).map_err(|error| failed(&error))?;
    authority.save(folder).map_err(|error| failed(&error))?;
    for role in [Role::JobManager, Role::Client, Role::TaskManager, Role::Worker] {
        save(folder, role, &issue(&authority, role, "standalone")?)?;
    }
    make_token(folder)?;
    Ok(authority)
}

/// Makes a token alone, for a cluster without TLS.
pub(crate) fn make_token(folder: &Path) -> Result<()> {
    let made = RestToken::generate().and_then(|token| token.save(folder));
    made.map_err(|error| ClientError::failed("cannot make the token of the REST API").because(&error))
}

/// Makes the keys of one TaskManager.
pub(crate) fn of_task_manager(authority: &CertificateAuthority, name: &str) -> Result<TaskManagerKeys> {
    Ok(TaskManagerKeys {
        task_manager: issue(authority, Role::TaskManager, name)?,
        worker: issue(authority, Role::Worker, name)?,
    })
}

fn issue(authority: &CertificateAuthority, role: Role, name: &str) -> Result<TlsMaterial> {
    authority.issue(role, name, 0).map_err(|error| failed(&error))
}

fn save(folder: &Path, role: Role, material: &TlsMaterial) -> Result<()> {
    authority::save_material(folder, role, material).map_err(|error| failed(&error))
}

fn failed(error: &AuthorityError) -> ClientError {
    ClientError::failed("cannot make the cluster's keys").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_finds_its_keys() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("security");
        assert!(!exist(&keys, true));
        let made = make(&keys).unwrap();
        assert!(exist(&keys, true) && exist(&keys, false));
        for role in [Role::JobManager, Role::Client, Role::TaskManager, Role::Worker] {
            authority::load_material(&keys, role).unwrap();
        }
        RestToken::load(&keys).unwrap();
        let own = folder.path().join("tm");
        of_task_manager(&made, "taskmanager-0").unwrap().save(&own).unwrap();
        assert!(!exist(&own, true), "a TaskManager cannot make certificates");
        authority::load_material(&own, Role::Worker).unwrap();
    }
}
