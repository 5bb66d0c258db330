//! YARN's enumerations. Values that a newer server may send and that are not known here become `Unknown`.

use std::fmt;

/// An enumeration of YARN: its variants with their numbers on the wire and the names that Hadoop prints.
macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// None that is known here.
            Unknown(i32),
        }

        impl $name {
            #[allow(dead_code, reason = "some are only sent")]
            pub(crate) fn from_wire(number: i32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }

            #[allow(dead_code, reason = "some are only received")]
            pub(crate) fn to_wire(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Unknown(number) => number,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.pad($text),)*
                    Self::Unknown(number) => f.pad(&format!("UNKNOWN({number})")),
                }
            }
        }
    };
}

states! {
    /// How far an application is.
    ApplicationState {
        /// Just made.
        New = 1, "NEW";
        /// Being written to the ResourceManager's store.
        NewSaving = 2, "NEW_SAVING";
        /// Submitted to a queue.
        Submitted = 3, "SUBMITTED";
        /// Taken by the scheduler: its ApplicationMaster waits for a container, or for itself to start.
        Accepted = 4, "ACCEPTED";
        /// Its ApplicationMaster has registered.
        Running = 5, "RUNNING";
        /// Ended by itself.
        Finished = 6, "FINISHED";
        /// Failed.
        Failed = 7, "FAILED";
        /// Killed by a user.
        Killed = 8, "KILLED";
    }
}

impl ApplicationState {
    /// Whether nothing more will come.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }
}

states! {
    /// How an application ended, in its own words.
    FinalStatus {
        /// It did not say, or has not ended.
        Undefined = 0, "UNDEFINED";
        /// Well.
        Succeeded = 1, "SUCCEEDED";
        /// Not well.
        Failed = 2, "FAILED";
        /// Killed.
        Killed = 3, "KILLED";
        /// Over, with parts that ended differently.
        Ended = 4, "ENDED";
    }
}

states! {
    /// How far an attempt of an application is.
    AttemptState {
        /// Just made.
        New = 1, "NEW";
        /// Submitted to the scheduler.
        Submitted = 2, "SUBMITTED";
        /// Waits for a container.
        Scheduled = 3, "SCHEDULED";
        /// Being written to the ResourceManager's store.
        AllocatedSaving = 4, "ALLOCATED_SAVING";
        /// Has a container.
        Allocated = 5, "ALLOCATED";
        /// Its container was started.
        Launched = 6, "LAUNCHED";
        /// Failed.
        Failed = 7, "FAILED";
        /// Its ApplicationMaster has registered.
        Running = 8, "RUNNING";
        /// Its ApplicationMaster has said that it ends.
        Finishing = 9, "FINISHING";
        /// Ended.
        Finished = 10, "FINISHED";
        /// Killed.
        Killed = 11, "KILLED";
    }
}

states! {
    /// How far a container is.
    ContainerState {
        /// Not started yet.
        New = 1, "NEW";
        /// Being localised, or running.
        Running = 2, "RUNNING";
        /// Over.
        Complete = 3, "COMPLETE";
    }
}

states! {
    /// How a NodeManager is.
    NodeState {
        /// Just registered.
        New = 1, "NEW";
        /// In use.
        Running = 2, "RUNNING";
        /// Its disks or its health script say that it is not well.
        Unhealthy = 3, "UNHEALTHY";
        /// Taken out.
        Decommissioned = 4, "DECOMMISSIONED";
        /// Not heard of for too long.
        Lost = 5, "LOST";
        /// Came back after a restart that lost its containers.
        Rebooted = 6, "REBOOTED";
        /// Being taken out: no new containers.
        Decommissioning = 7, "DECOMMISSIONING";
        /// Shut down by its operator.
        Shutdown = 8, "SHUTDOWN";
    }
}

impl NodeState {
    /// Whether containers can run there.
    #[must_use]
    pub fn is_usable(self) -> bool {
        matches!(self, Self::New | Self::Running | Self::Decommissioning)
    }
}

states! {
    /// How a queue is.
    QueueState {
        /// It takes no applications.
        Stopped = 1, "STOPPED";
        /// In use.
        Running = 2, "RUNNING";
        /// It takes no new applications and lets the old ones end.
        Draining = 3, "DRAINING";
    }
}

states! {
    /// How far the logs of an application are in the place where they are collected.
    LogAggregation {
        /// Logs are not collected.
        Disabled = 1, "DISABLED";
        /// Not begun.
        NotStarted = 2, "NOT_START";
        /// On the way.
        Running = 3, "RUNNING";
        /// All there.
        Succeeded = 4, "SUCCEEDED";
        /// Some are missing.
        Failed = 5, "FAILED";
        /// Took too long.
        TimedOut = 6, "TIME_OUT";
        /// On the way, with failures.
        RunningWithFailure = 7, "RUNNING_WITH_FAILURE";
    }
}

states! {
    /// What the ResourceManager tells an ApplicationMaster to do.
    AmCommand {
        /// Register again.
        Resync = 1, "AM_RESYNC";
        /// End.
        Shutdown = 2, "AM_SHUTDOWN";
    }
}

states! {
    /// What a user may do with a queue.
    QueueAcl {
        /// Submit applications.
        Submit = 1, "SUBMIT_APPLICATIONS";
        /// Administer it.
        Administer = 2, "ADMINISTER_QUEUE";
    }
}

states! {
    /// A signal to a container's process.
    ContainerSignal {
        /// SIGQUIT: a JVM prints its threads.
        ThreadDump = 1, "OUTPUT_THREAD_DUMP";
        /// SIGTERM.
        Graceful = 2, "GRACEFUL_SHUTDOWN";
        /// SIGKILL.
        Forceful = 3, "FORCEFUL_SHUTDOWN";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_numbers_are_kept() {
        assert_eq!(ApplicationState::from_wire(5), ApplicationState::Running);
        assert_eq!(ApplicationState::from_wire(77).to_wire(), 77);
        assert_eq!(format!("{:>12}", ApplicationState::NewSaving), "  NEW_SAVING");
        assert_eq!(FinalStatus::Unknown(9).to_string(), "UNKNOWN(9)");
    }
}
