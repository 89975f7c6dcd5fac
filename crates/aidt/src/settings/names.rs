//! Every variable that the binary reads, by name. `docs/reference/configuration.md` lists the same.

/// A setting's variable, and the names that it has elsewhere.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) name: &'static str,
    /// Read when `name` is not set. Two that are set and disagree are an error.
    pub(crate) aliases: &'static [&'static str],
}

macro_rules! names {
    ($($id:ident = $name:literal $([$($alias:literal),+])?;)+) => {
        $(pub(crate) const $id: &Name = &Name { name: $name, aliases: &[$($($alias),+)?] };)+
        /// All of them.
        #[cfg(test)]
        pub(crate) const ALL: &[&Name] = &[$($id),+];
    };
}

names! {
    HOME = "AIDT_HOME";
    SERVER = "AIDT_SERVER" ["INGRESS_URL"];
    DATABASE = "AIDT_DATABASE_URL" ["DATABASE_URL"];
    QUEUE = "AIDT_QUEUE_URL";
    LOCK = "AIDT_LOCK_URL";
    ARTIFACTS = "AIDT_ARTIFACTS_URL";
    PREFIX = "AIDT_PREFIX";
    PARTITIONS = "AIDT_PARTITIONS";
    DATABASE_CONNECTIONS = "AIDT_DATABASE_CONNECTIONS";
    LISTEN = "AIDT_LISTEN";
    PORT = "HTTP_PORT" ["PORT"];
    STEP_CONSUMERS = "AIDT_STEP_CONSUMERS";
    WORKER_TOKEN = "AIDT_WORKER_TOKEN";
    WORKER_TOKEN_FILE = "AIDT_WORKER_TOKEN_FILE";
    ROUTE_KEY = "AIDT_ROUTE_KEY";
    ROUTE_KEY_FILE = "AIDT_ROUTE_KEY_FILE";
    WORKER_POOL = "AIDT_WORKER_POOL";
    WORKER_SLOTS = "AIDT_WORKER_SLOTS";
    WORKSPACES = "AIDT_WORKSPACES";
    WORKSPACE_ROOTS = "AIDT_WORKSPACE_ROOTS";
    DRAIN_SECONDS = "AIDT_DRAIN_SECONDS";
    ENVIRONMENT = "AIDT_ENVIRONMENT";
    LOG = "AIDT_LOG" ["LOG_LEVEL"];
    LOG_FORMAT = "AIDT_LOG_FORMAT";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Read by the command line itself.
    const BY_FLAGS: &[&str] = &["AIDT_TOOLS", "AIDT_POLICY", "NO_COLOR"];

    #[test]
    fn the_reference_lists_every_variable_and_no_other() {
        let page = include_str!("../../../../docs/reference/configuration.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let first = rows.filter_map(|row| row.split('|').nth(1));
        let written: BTreeSet<&str> = first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        let variables: BTreeSet<&str> =
            written.into_iter().filter(|w| w.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')).collect();
        let known = ALL.iter().flat_map(|n| std::iter::once(&n.name).chain(n.aliases)).copied();
        let known: BTreeSet<&str> = known.chain(BY_FLAGS.iter().copied()).collect();
        assert_eq!(variables, known);
    }
}
