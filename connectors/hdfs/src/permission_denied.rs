use std::fmt;

/// What the NameNode says when somebody lacks a right:
/// `Permission denied: user=bob, access=WRITE, inode="/data":root:hadoop:drwxr-xr-x`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PermissionDenied<'a> {
    user: &'a str,
    access: &'a str,
    path: &'a str,
    /// Owner, group and mode.
    belongs_to: Option<(&'a str, &'a str, &'a str)>,
}

impl<'a> PermissionDenied<'a> {
    /// None for a message of another form.
    pub(crate) fn parse(message: &'a str) -> Option<Self> {
        let line = message.lines().next()?;
        let user = between(line, "user=", ",")?;
        let access = between(line, "access=", ",")?;
        let (_, rest) = line.split_once("inode=\"")?;
        let (path, attributes) = rest.split_once('"')?;
        let mut attributes = attributes.strip_prefix(':').unwrap_or_default().splitn(3, ':');
        let belongs_to = match (attributes.next(), attributes.next(), attributes.next()) {
            (Some(owner), Some(group), Some(mode)) => Some((owner, group, mode.trim())),
            _ => None,
        };
        Some(Self { user, access, path, belongs_to })
    }
}

impl fmt::Display for PermissionDenied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may_not = match self.access {
            "READ" => "read",
            "WRITE" => "write to",
            "EXECUTE" => "look into",
            "READ_EXECUTE" => "list",
            "WRITE_EXECUTE" => "create, rename or delete anything in",
            "ALL" => "read, write and look into",
            other => other,
        };
        write!(f, "the user `{}` may not {may_not} {}", self.user, self.path)?;
        if let Some((owner, group, mode)) = self.belongs_to {
            write!(f, ", which belongs to {owner}:{group} with the mode {mode}")?;
        }
        write!(
            f,
            ". Ask its owner for the right, choose another path, or run as another user (without Kerberos: \
             HADOOP_USER_NAME; with Kerberos: kinit)"
        )
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(found, _)| found.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_put_in_words() {
        let check = |message: &str, expected: Option<&str>| {
            let found = PermissionDenied::parse(message).map(|refusal| refusal.to_string());
            match expected {
                Some(expected) => assert!(found.unwrap().starts_with(expected), "{message}"),
                None => assert_eq!(found, None, "{message}"),
            }
        };
        check(
            "Permission denied: user=bob, access=WRITE, inode=\"/a, b\":root:hadoop:drwxr-xr-x\n\tat Foo",
            Some("the user `bob` may not write to /a, b, which belongs to root:hadoop with the mode drwxr-xr-x. Ask"),
        );
        check(
            "Permission denied: user=b, access=READ_EXECUTE, inode=\"/a\":r:g:drwx------:user:x:r--",
            Some("the user `b` may not list /a, which belongs to r:g with the mode drwx------:user:x:r--."),
        );
        check("Permission denied: user=b, access=EXECUTE, inode=\"/a\"", Some("the user `b` may not look into /a. "));
        check("Access denied for user bob. Superuser privilege is required", None);
        check("", None);
    }
}
