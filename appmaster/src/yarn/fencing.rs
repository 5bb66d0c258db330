use hadoop_rpc::Error;

/// Answers in a row by which the ResourceManager does not know our attempt before they are believed: one that is just
/// restarting may not know its applications yet.
const FOREIGN_ANSWERS: u32 = 3;

/// Whether this attempt is still the ResourceManager's, as far as its answers tell.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    foreign_answers: u32,
}

impl Fencing {
    /// The ResourceManager knows this attempt.
    pub(super) fn known(&mut self) {
        self.foreign_answers = 0;
    }

    /// A call has failed. True when that was said often enough: another attempt leads, or the application is over.
    pub(super) fn failed(&mut self, error: &Error) -> bool {
        self.foreign_answers += u32::from(error.is_unknown_attempt());
        self.foreign_answers >= FOREIGN_ANSWERS
    }
}

#[cfg(test)]
mod tests {
    use hadoop_rpc::error::RemoteException;

    use super::*;

    #[test]
    fn one_answer_is_not_believed() {
        let remote = |class: &str| -> Error {
            RemoteException { class: format!("a.b.{class}"), message: String::new(), host: String::new() }.into()
        };
        let (foreign, other) = (remote("ApplicationAttemptNotFoundException"), remote("StandbyException"));
        let mut fencing = Fencing::default();
        assert!(!fencing.failed(&foreign) && !fencing.failed(&foreign) && !fencing.failed(&other));
        fencing.known();
        assert!(!fencing.failed(&foreign) && !fencing.failed(&foreign) && fencing.failed(&foreign));
    }
}
