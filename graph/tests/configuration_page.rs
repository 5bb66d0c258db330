//! `docs/configuration.md` lists every option as it is declared.

// A failure to read or write the page fails the test.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::Path;

use flink_graph::options;

const HEAD: &str = "# Configuration

Settings come from `config.yaml` in the folder that `--config-dir` or `$FLINK_CONF_DIR` names, or else `./conf`, and from
`-D key=value`, which goes before the file. (A program in its own process, started without `flink-yarn`, looks into
`$FLINK_CONF_DIR` alone.) A file of Flink 1, `flink-conf.yaml`, is read, too.

Keys have Flink's names where they mean the same; where a default is another one than Flink's, that is said. A misspelt key
is refused (a short one, as `rest.port`, only where its first part is right: `test.port` may be the program's own). A key of
Flink's that nothing here needs is left out with a warning that says why, and a former name is taken for the present one
(`restart-strategy`). What would be less safe than it says is refused: `security.ssl.rest.enabled: true`, since the REST API
has no TLS. Durations are written as `500 ms`, `10 s`, `5 min`; sizes as `64 mb`, `1 gb`.

This page is made from [graph/src/configuration.rs](../graph/src/configuration.rs):
`UPDATE_DOCS=1 cargo test -p flink-graph --test configuration_page` writes it anew.

| key | default | meaning |
|---|---|---|
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (key, default, meaning) in options::ALL {
        let default = default.map_or("(none)".to_owned(), |default| format!("`{default}`"));
        writeln!(page, "| `{key}` | {default} | {} |", meaning.trim().replace('|', "\\|")).unwrap();
    }
    page
}

#[test]
fn the_page_of_options_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "{} is out of date: run this test with UPDATE_DOCS=1", path.display());
}
