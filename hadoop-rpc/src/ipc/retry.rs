use std::time::{Duration, Instant};

use crate::error::{AuthenticationError, Error};

/// Whether a call may be sent again when nobody knows whether the first one was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotence {
    /// Twice is the same as once.
    Idempotent,
    /// The server recognises the second one by its number and gives the first one's answer.
    AtMostOnce,
    /// It is sent again only if it surely was not carried out.
    NotIdempotent,
}

/// How often and how long a call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// No try begins later than this after the first one.
    pub patience: Duration,
    /// The pause after every server has failed once; it doubles with every further failure.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A token that is refused is shown again for this time, and to every server at least once: a server that is just
    /// stopping or starting does not know tokens that are good.
    pub token_patience: Duration,
}

impl RetryPolicy {
    /// For somebody who waits at a terminal: an answer, or what is wrong, within some ten seconds.
    #[must_use]
    pub const fn interactive() -> Self {
        Self::patient(Duration::from_secs(8))
    }

    /// For a process that goes on when its servers are back.
    #[must_use]
    pub const fn patient(patience: Duration) -> Self {
        let token_patience = Duration::from_secs(if patience.as_secs() < 30 { 0 } else { 10 });
        Self {
            patience,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            token_patience,
        }
    }

    /// Every server is tried once.
    #[must_use]
    pub const fn once() -> Self {
        Self::patient(Duration::ZERO)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::interactive()
    }
}

/// What comes next after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    GiveUp,
    /// Another try after a pause, at the next server or at the same.
    Again {
        pause: Duration,
        next_server: bool,
    },
}

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Tries {
    policy: RetryPolicy,
    servers: usize,
    began: Instant,
    failures: u32,
}

impl Tries {
    pub(crate) fn new(policy: RetryPolicy, servers: usize, now: Instant) -> Self {
        Self { policy, servers, began: now, failures: 0 }
    }

    /// `jitter` between 0 and 255 shortens the pause by up to half, so that many clients do not come back at once.
    pub(crate) fn after(&mut self, now: Instant, error: &Error, idempotence: Idempotence, jitter: u8) -> Verdict {
        self.failures += 1;
        let Some(next_server) = another_try(error, idempotence) else { return Verdict::GiveUp };
        let servers = u32::try_from(self.servers).unwrap_or(u32::MAX);
        if next_server && self.failures < servers {
            return Verdict::Again { pause: Duration::ZERO, next_server };
        }
        let pause = self.pause(self.failures.saturating_sub(servers), jitter);
        let patience = if is_refused_token(error) { self.policy.token_patience } else { self.policy.patience };
        if now + pause > self.began + patience {
            return Verdict::GiveUp;
        }
        Verdict::Again { pause, next_server: next_server && servers > 1 }
    }

    fn pause(&self, doublings: u32, jitter: u8) -> Duration {
        let whole = self.policy.first_pause.saturating_mul(1 << doublings.min(16)).min(self.policy.longest_pause);
        whole - whole.mul_f32(f32::from(jitter) / 512.0)
    }
}

/// Whether another try makes sense, and whether at another server.
fn another_try(error: &Error, idempotence: Idempotence) -> Option<bool> {
    match error {
        Error::Connect { .. } => Some(true),
        error if is_refused_token(error) => Some(true),
        Error::Lost { .. } | Error::TimedOut { .. } => (idempotence != Idempotence::NotIdempotent).then_some(true),
        Error::Remote(exception) => match exception.simple_class() {
            "StandbyException" | "ObserverRetryOnActiveException" => Some(true),
            "RetriableException" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn is_refused_token(error: &Error) -> bool {
    let Error::Authentication { reason, .. } = error else { return false };
    matches!(&**reason, AuthenticationError::Refused { class, .. } if class.ends_with("InvalidToken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Endpoint, RemoteException};

    fn refused() -> Error {
        Error::Connect { endpoint: Endpoint::new("NameNode", "nn", 1), cause: "refused".into() }
    }

    fn lost() -> Error {
        Error::Lost { endpoint: Endpoint::new("NameNode", "nn", 1), method: "m", cause: "reset".into() }
    }

    fn remote(class: &str) -> Error {
        RemoteException { class: class.to_owned(), message: String::new(), host: String::new() }.into()
    }

    #[test]
    fn servers_are_tried_in_turn_and_then_with_growing_pauses() {
        let now = Instant::now();
        let mut tries = Tries::new(RetryPolicy::patient(Duration::from_secs(60)), 2, now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Verdict::Again { pause, next_server: true } = tries.after(now, &refused(), Idempotence::Idempotent, 0)
            else {
                panic!()
            };
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [0, 200, 400, 800, 1600, 3200, 5000, 5000]);
        let later = now + Duration::from_secs(59);
        assert_eq!(tries.after(later, &refused(), Idempotence::Idempotent, 0), Verdict::GiveUp);
    }

    #[test]
    fn jitter_shortens_by_up_to_half() {
        let now = Instant::now();
        let mut tries = Tries::new(RetryPolicy::interactive(), 1, now);
        let Verdict::Again { pause, .. } = tries.after(now, &refused(), Idempotence::Idempotent, 255) else { panic!() };
        assert!(pause >= Duration::from_millis(100) && pause < Duration::from_millis(102), "{pause:?}");
    }

    #[test]
    fn a_refused_token_is_shown_to_every_server_and_for_a_while_by_the_patient() {
        let now = Instant::now();
        let reason = AuthenticationError::Refused { class: "a.b$InvalidToken".into(), message: String::new() };
        let endpoint = Endpoint::new("NameNode", "nn", 1);
        let refused = Error::Authentication { endpoint, reason: Box::new(reason) };
        let mut tries = Tries::new(RetryPolicy::interactive(), 2, now);
        let expect = Verdict::Again { pause: Duration::ZERO, next_server: true };
        assert_eq!(tries.after(now, &refused, Idempotence::NotIdempotent, 0), expect);
        assert_eq!(tries.after(now, &refused, Idempotence::NotIdempotent, 0), Verdict::GiveUp);
        let mut tries = Tries::new(RetryPolicy::patient(Duration::from_secs(60)), 1, now);
        assert_ne!(tries.after(now, &refused, Idempotence::NotIdempotent, 0), Verdict::GiveUp);
        let later = now + Duration::from_secs(11);
        assert_eq!(tries.after(later, &refused, Idempotence::NotIdempotent, 0), Verdict::GiveUp);
    }

    #[test]
    fn what_may_have_been_carried_out_is_not_repeated() {
        let check = |error: &Error, idempotence, expect: bool| {
            let now = Instant::now();
            let verdict = Tries::new(RetryPolicy::interactive(), 1, now).after(now, error, idempotence, 0);
            assert_eq!(verdict != Verdict::GiveUp, expect, "{error} {idempotence:?}");
        };
        check(&lost(), Idempotence::Idempotent, true);
        check(&lost(), Idempotence::AtMostOnce, true);
        check(&lost(), Idempotence::NotIdempotent, false);
        check(&refused(), Idempotence::NotIdempotent, true);
        check(&remote("org.apache.hadoop.ipc.StandbyException"), Idempotence::NotIdempotent, true);
        check(&remote("org.apache.hadoop.ipc.RetriableException"), Idempotence::NotIdempotent, true);
        check(&remote("java.io.FileNotFoundException"), Idempotence::Idempotent, false);
        let now = Instant::now();
        let verdict = Tries::new(RetryPolicy::once(), 1, now).after(now, &refused(), Idempotence::Idempotent, 0);
        assert_eq!(verdict, Verdict::GiveUp);
    }
}
