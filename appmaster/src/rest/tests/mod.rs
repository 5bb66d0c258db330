//! The API over real sockets. Shapes are compared with what a real Flink answered (`../recorded`).

mod access;
mod answers;
mod fake;
mod http;
mod server;
mod shapes;
