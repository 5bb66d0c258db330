//! Jobs on real YARN and HDFS. `flink-yarn` and the examples are taken from the folder that `FLINK_YARN_BIN_DIR` names;
//! without it they are built.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

/// Where the programs are.
#[path = "../standalone/programs.rs"]
mod programs;

/// Processes: run, watched and signalled.
#[path = "../standalone/process.rs"]
#[allow(dead_code)] // shared with the tests of standalone clusters, which use more of it
mod process;

/// A user of a Hadoop cluster with the command.
mod user;

/// The REST API of an application.
mod rest;

/// An application that runs.
mod application;

/// Jobs in applications of their own, and in sessions.
mod deployment;

/// People at the prompt of a session, and their slips.
mod sessions;

/// Tasks go to their data.
mod locality;

/// Containers on nodes with a label.
mod labels;

/// What YARN is asked for, and what is put into containers.
mod requests;

/// Clients, workers, TaskManagers and ApplicationMasters that go.
mod killing;

/// Daemons of Hadoop that go, and come back or not.
mod daemons;

/// Processes and daemons that are not there when they should be, or still are when they should not.
mod left_over;

/// Others that take over from daemons that go.
mod failover;

/// Memory and room that is not there.
mod resources;

/// What is borne without a restart strategy.
mod restarts;

/// Limits of queues, users and containers.
mod limits;

/// Files that are not what they should be.
mod uploads;

/// What `doctor` finds, and what it says to do.
mod doctor;

/// What is wrong is told, soon, with what to do.
mod mistakes;

/// Nothing secret is seen anywhere.
mod secrets;

/// What is looked for there.
mod secret_scanner;

/// What servers say to the ApplicationMaster.
mod recorder;

/// What containers are made of, and what they need.
mod containers;

/// What a program needs of the machine that runs it.
mod elf;

/// Programs for nodes that are older than the machine that built them.
mod portable;

/// Clusters with Kerberos: tickets and keytabs.
mod kerberos;

/// Tokens that end, and tokens without a ticket.
mod tokens;

/// Clusters that ask for a protection of what is sent.
mod protection;

/// REST, and logs of containers.
mod observing;

/// Logs of jobs and tasks.
mod logs;

/// Who is let in.
mod ports;
