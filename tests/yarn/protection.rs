use flink_test_hadoop::{Cluster, RpcProtection, Variant};

use crate::kerberos::count_words;
use crate::user::{User, application_in};

/// What a cluster asks of RPC it asks of the transfer of blocks, too: what is read and written passes both.
#[test]
fn words_are_counted_with_each_protection() {
    for protection in RpcProtection::EACH {
        let cluster = Cluster::shared(Variant::Kerberos(protection));
        let user = User::new(&cluster, "protected");
        let ended = count_words(&user, &["-t", "yarn-application", "-p", "2"], 20, "counts");
        let application = application_in(&format!("{}{}", ended.stdout, ended.stderr));
        let (status, diagnostics) = user.end_of(&application);
        assert_eq!(status, "SUCCEEDED", "{protection:?}: {diagnostics}");
        user.assert_tidy(&application);
    }
}
