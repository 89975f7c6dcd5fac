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
    DATABASE_FILE = "AIDT_DATABASE_URL_FILE";
    QUEUE = "AIDT_QUEUE_URL";
    QUEUE_FILE = "AIDT_QUEUE_URL_FILE";
    LOCK = "AIDT_LOCK_URL";
    LOCK_FILE = "AIDT_LOCK_URL_FILE";
    ARTIFACTS = "AIDT_ARTIFACTS_URL";
    S3_ENDPOINT = "AWS_ENDPOINT_URL_S3" ["AWS_ENDPOINT_URL"];
    S3_REGION = "AWS_REGION" ["AWS_DEFAULT_REGION"];
    S3_KEY = "AWS_ACCESS_KEY_ID";
    S3_SECRET = "AWS_SECRET_ACCESS_KEY";
    S3_TOKEN = "AWS_SESSION_TOKEN";
    TLS_CA_FILE = "AIDT_TLS_CA_FILE";
    PREFIX = "AIDT_PREFIX";
    PARTITIONS = "AIDT_PARTITIONS";
    DATABASE_CONNECTIONS = "AIDT_DATABASE_CONNECTIONS";
    LISTEN = "AIDT_LISTEN";
    HEALTH_LISTEN = "AIDT_HEALTH_LISTEN";
    PORT = "HTTP_PORT" ["PORT"];
    STEP_CONSUMERS = "AIDT_STEP_CONSUMERS";
    WORKER_TOKEN = "AIDT_WORKER_TOKEN";
    WORKER_TOKEN_FILE = "AIDT_WORKER_TOKEN_FILE";
    WORKER_TLS_CA_FILE = "AIDT_WORKER_TLS_CA_FILE";
    WORKER_TLS_CERT_FILE = "AIDT_WORKER_TLS_CERT_FILE";
    WORKER_TLS_KEY_FILE = "AIDT_WORKER_TLS_KEY_FILE";
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
        let variables: BTreeSet<&str> = written
            .into_iter()
            .filter(|w| w.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
            .collect();
        let known = ALL.iter().flat_map(|n| std::iter::once(&n.name).chain(n.aliases)).copied();
        let known: BTreeSet<&str> = known.chain(BY_FLAGS.iter().copied()).collect();
        assert_eq!(variables, known);
    }

    const COMPOSE: [(&str, &str); 5] = [
        ("Dockerfile", include_str!("../../../../Dockerfile")),
        ("aidt.yaml", include_str!("../../../../deploy/compose/aidt.yaml")),
        ("backing.yaml", include_str!("../../../../deploy/compose/backing.yaml")),
        ("rabbitmq.yaml", include_str!("../../../../deploy/compose/rabbitmq.yaml")),
        ("kafka.yaml", include_str!("../../../../deploy/compose/kafka.yaml")),
    ];
    /// What the compose files themselves ask for, by `${NAME:-…}`.
    const ASKED_FOR: &[&str] = &["AIDT_IMAGE", "AIDT_PORT", "AIDT_TRACES_PORT"];

    #[test]
    fn the_image_and_the_stacks_set_only_what_there_is() {
        let mut found = 0;
        for (file, text) in COMPOSE {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|w| w.starts_with("AIDT_")) {
                let known = ALL.iter().any(|n| n.name == word) || ASKED_FOR.contains(&word);
                assert!(known, "{file} sets {word}, which nothing reads");
                found += 1;
            }
        }
        assert!(found > 30, "{found}");
    }

    #[test]
    fn the_stacks_run_every_service_and_no_other() {
        let all: BTreeSet<&str> = aidt_cli::Service::ALL.iter().map(|s| s.name()).collect();
        let run = COMPOSE[1].1.split("command: [serve, ").skip(1).map(|rest| rest.split(']').next().unwrap());
        assert_eq!(run.collect::<BTreeSet<_>>(), all);
        let defined: Vec<&str> = COMPOSE[1..3].iter().flat_map(|(_, text)| services(text)).collect();
        for (file, text) in &COMPOSE[3..] {
            let extended: Vec<&str> =
                text.split("service: ").skip(1).map(|rest| rest.split([' ', '}', '\n']).next().unwrap()).collect();
            assert!(all.iter().all(|service| extended.contains(service)), "{file}: {extended:?}");
            assert!(extended.iter().all(|service| defined.contains(service)), "{file}: {extended:?}");
            let here = services(text);
            for needed in text.lines().filter(|line| line.contains("condition: service_")) {
                let needed = needed.trim().split(':').next().unwrap();
                assert!(here.contains(&needed), "{file}: nothing is called {needed}");
            }
        }
    }

    /// The keys right below `services:`.
    fn services(text: &str) -> Vec<&str> {
        let below = text.lines().skip_while(|line| *line != "services:").skip(1);
        let below = below.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
        let keys = below.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#'])));
        keys.filter_map(|line| line.split(':').next()).filter(|key| !key.is_empty()).collect()
    }
}
