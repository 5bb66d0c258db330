//! Does so much of a piece of work and prints what came out: `instructions NAME UNITS`. The test `instructions` counts
//! its instructions.

use flink_api::BoxError;
use flink_benches::work;

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, units] = arguments.as_slice() else { return Err(usage().into()) };
    let work = work::ALL.iter().find(|work| work.name == name).ok_or_else(usage)?;
    println!("{}", (work.run)(units.parse()?)?);
    Ok(())
}

fn usage() -> String {
    let names: Vec<_> = work::ALL.iter().map(|work| work.name).collect();
    format!("usage: instructions NAME UNITS, where NAME is one of {}", names.join(", "))
}
