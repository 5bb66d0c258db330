use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longer than any test may hold a cluster.
const TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Who else may use a cluster at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Other tests that leave its daemons alone.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A file lock, held between threads and processes alike; ends when it is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(path: &Path, access: Access) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::options().create(true).append(true).open(path).unwrap();
        let until = Instant::now() + TIMEOUT;
        loop {
            let taken = match access {
                Access::Shared => file.try_lock_shared(),
                Access::Exclusive => file.try_lock(),
            };
            match taken {
                Ok(()) => return Self { _file: file },
                Err(TryLockError::WouldBlock) => {
                    assert!(Instant::now() < until, "{} has been locked for {TIMEOUT:?}", path.display());
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::Error(error)) => panic!("{}: {error}", path.display()),
            }
        }
    }
}
