use crate::configuration::Configuration;
use crate::credentials::Token;
use crate::ipc::sasl::AuthenticationMode;
use crate::user::User;

/// Who calls, and what it shows for it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// A token for this very service; it goes before everything else.
    pub token: Option<Token>,
    /// Which Kerberos principal the server must be; needed for Kerberos only.
    pub server: Option<ServerPrincipal>,
}

impl Identity {
    /// A user that shows a token.
    #[must_use]
    pub fn with_token(user: User, token: Token) -> Self {
        Self { user, token: Some(token), server: None }
    }

    pub(crate) fn mode(&self) -> AuthenticationMode {
        match (&self.token, self.user.is_kerberos()) {
            (Some(_), _) | (_, true) => AuthenticationMode::Sasl,
            (None, false) => AuthenticationMode::Simple,
        }
    }
}

/// The Kerberos principal that a server must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPrincipal {
    /// The configuration key that names it.
    pub key: String,
    /// The principal, with `_HOST` for the server's host: `nn/_HOST@REALM`.
    pub principal: Option<String>,
    /// A pattern with `*` which it may match instead (`<key>.pattern`).
    pub pattern: Option<String>,
}

impl ServerPrincipal {
    /// Reads what a key says.
    #[must_use]
    pub fn new(configuration: &Configuration, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            principal: configuration.get_trimmed(key),
            pattern: configuration.get_trimmed(&format!("{key}.pattern")),
        }
    }

    /// Whether a server on `host` may be `found`, a principal without its realm: then the realm that it must have, if
    /// the configuration names one; else the principal that was expected.
    pub(crate) fn check(&self, found: &str, host: &str) -> Result<Option<String>, String> {
        let (expected, matched) = match (&self.pattern, &self.principal) {
            (Some(pattern), _) => (pattern.clone(), matches(split_realm(pattern).0, found)),
            (None, Some(principal)) => {
                let expected = principal.replace("_HOST", &host.to_ascii_lowercase());
                let matched = split_realm(&expected).0 == found;
                (expected, matched)
            }
            (None, None) => (String::new(), false),
        };
        let realm = split_realm(&expected).1.filter(|realm| !realm.contains('*')).map(str::to_owned);
        if matched { Ok(realm) } else { Err(expected) }
    }
}

fn split_realm(principal: &str) -> (&str, Option<&str>) {
    principal.rsplit_once('@').map_or((principal, None), |(name, realm)| (name, Some(realm)))
}

/// `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(previous) = last.replace(part) {
            let Some((_, after)) = rest.split_once(previous) else { return false };
            rest = after;
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_the_configured_principal() {
        let server =
            |principal: &str| ServerPrincipal { key: "k".into(), principal: Some(principal.to_owned()), pattern: None };
        let check = |principal: &str, found: &str, expect: Option<Option<&str>>| {
            let realm = server(principal).check(found, "Host.A").ok();
            assert_eq!(realm, expect.map(|realm| realm.map(str::to_owned)), "{principal} {found}");
        };
        check("nn/_HOST@R", "nn/host.a", Some(Some("R")));
        check("nn/_HOST@R", "nn/host.b", None);
        check("nn/_HOST", "nn/host.a", Some(None));
        check("", "nn/host.a", None);
        let pattern = |pattern: &str| ServerPrincipal { pattern: Some(pattern.into()), ..server("nn/x@R") };
        assert_eq!(pattern("nn/*@R").check("nn/any", "h"), Ok(Some("R".to_owned())));
        assert_eq!(pattern("nn/*@*").check("nn/any", "h"), Ok(None));
        assert!(pattern("nn/*@R").check("dn/any", "h").is_err());
    }

    #[test]
    fn stars_match_anything() {
        assert!(matches("*", "anything") && matches("a*c*e", "abcde") && matches("abc", "abc") && matches("a*", "a"));
        assert!(!matches("abc", "abcd") && !matches("a*c", "abd") && !matches("a*b*c", "ac"));
    }
}
