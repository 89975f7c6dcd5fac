use super::*;

const SHARED: &[(&str, &str)] = &[
    ("HOME", "/root"),
    ("AIDT_DATABASE_URL", "postgres://me:pw@db/aidt"),
    ("AIDT_QUEUE_URL", "amqp://mq"),
    ("AIDT_LOCK_URL", "redis://r"),
    ("AIDT_WORKER_TOKEN", "token"),
    ("AIDT_ROUTE_KEY", "0123456789abcdef"),
    ("AIDT_STEP_CONSUMERS", "http://127.0.0.1:7071"),
];

fn read(base: &[(&str, &str)], set: &[(&str, &str)], options: &Serve) -> Result<Settings, HostError> {
    let lookup = |name: &str| {
        let found = set.iter().chain(base).find(|(n, _)| *n == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let settings = Settings::read(&Source::new(&lookup), options, false, PathBuf::from("/here"))?;
    settings.check(&services(options))?;
    Ok(settings)
}

fn only(service: Service) -> Serve {
    Serve { services: vec![service], ..Serve::default() }
}

fn refused(set: &[(&str, &str)], options: &Serve, why: &str) {
    let error = read(SHARED, set, options).expect_err(why);
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    let text = error.to_string();
    assert!(text.contains(why) && !text.contains("pw"), "{text}");
}

#[test]
fn on_a_laptop_nothing_need_be_set() {
    let settings = read(&[("HOME", "/base")], &[], &Serve::default()).unwrap();
    assert_eq!(settings.adapters.database, DatabaseUrl::Sqlite("/base/.aidt/state.db".into()));
    assert_eq!((settings.adapters.partitions, settings.environment.as_str()), (8, "embedded"));
    assert_eq!((settings.listen.to_string(), settings.drain.as_secs()), ("127.0.0.1:7070".to_owned(), 25));
    assert_eq!(settings.worker.workspaces, PathBuf::from("/base/.aidt/workspaces"));
    assert_eq!(settings.adapters.artifacts, Some(ArtifactsUrl::File("/base/.aidt/artifacts".into())));
}

#[test]
fn each_service_starts_from_the_same_settings() {
    for service in Service::ALL {
        let settings = read(SHARED, &[], &only(service)).unwrap();
        assert_eq!((settings.adapters.partitions, settings.environment.as_str()), (32, "production"));
    }
    read(SHARED, &[], &Serve::default()).unwrap();
    let tools = [("HOME", "/root"), ("AIDT_WORKER_TOKEN", "t"), ("AIDT_STEP_CONSUMERS", "dns://localhost:1")];
    let worker = read(&tools, &[], &only(Service::ToolWorker)).expect("it needs no adapter at all");
    assert_eq!(worker.adapters.artifacts, None, "a gateway elsewhere would not find them");
}

#[test]
fn a_flag_wins_over_a_variable() {
    let flags = Serve { listen: Some("127.0.0.1:1".parse().unwrap()), prefix: Some("b".into()), ..Serve::default() };
    let settings = read(SHARED, &[("AIDT_LISTEN", "127.0.0.1:2"), ("AIDT_PREFIX", "a")], &flags).unwrap();
    assert_eq!((settings.listen.port(), settings.adapters.prefix.as_str()), (1, "b"));
}

#[test]
fn what_one_process_keeps_is_not_for_several() {
    for service in [Service::Gateway, Service::CompletionConsumer, Service::StepConsumer] {
        refused(&[("AIDT_DATABASE_URL", "sqlite:a.db")], &only(service), "AIDT_DATABASE_URL is sqlite:/here/a.db");
        refused(&[("AIDT_QUEUE_URL", "memory:")], &only(service), "AIDT_QUEUE_URL is memory:");
        refused(&[("AIDT_LOCK_URL", "memory:")], &only(service), "AIDT_LOCK_URL is memory:");
    }
    refused(&[("AIDT_QUEUE_URL", "memory:")], &Serve::default(), "AIDT_QUEUE_URL is memory:");
}

#[test]
fn what_is_missing_is_named() {
    let unset = |name: &'static str| [(name, "")];
    refused(&unset("AIDT_WORKER_TOKEN"), &only(Service::StepConsumer), "AIDT_WORKER_TOKEN");
    refused(&unset("AIDT_ROUTE_KEY"), &only(Service::StepConsumer), "AIDT_ROUTE_KEY");
    refused(&unset("AIDT_WORKER_TOKEN"), &only(Service::ToolWorker), "AIDT_WORKER_TOKEN");
    refused(&unset("AIDT_STEP_CONSUMERS"), &only(Service::ToolWorker), "AIDT_STEP_CONSUMERS");
    refused(&[("AIDT_ROUTE_KEY", "short")], &only(Service::StepConsumer), "AIDT_ROUTE_KEY");
    let same = [("AIDT_WORKER_TOKEN", "0123456789abcdef")];
    refused(&same, &only(Service::StepConsumer), "are the same");
}

#[test]
fn nothing_is_open_without_keys() {
    let open = [("AIDT_LISTEN", "0.0.0.0:7070")];
    refused(&open, &Serve::default(), "no keys");
    refused(&open, &only(Service::Gateway), "no keys");
    refused(&open, &only(Service::StepConsumer), "mutual TLS: set AIDT_WORKER_TLS_CA_FILE");
    for far in ["http://10.0.0.1:1", "dns://steps:1", "https://steps:1"] {
        refused(&[("AIDT_STEP_CONSUMERS", far)], &only(Service::ToolWorker), "AIDT_WORKER_TLS_CERT_FILE");
    }
    read(SHARED, &open, &only(Service::CompletionConsumer)).expect("health is for anybody");
}

#[test]
fn with_certificates_other_machines_are_reached_over_tls_only() {
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("pem");
    std::fs::write(&pem, "-----BEGIN CERTIFICATE-----").unwrap();
    let pem = pem.to_str().unwrap();
    let names = ["AIDT_WORKER_TLS_CA_FILE", "AIDT_WORKER_TLS_CERT_FILE", "AIDT_WORKER_TLS_KEY_FILE"];
    let with = |more: (&'static str, &'static str)| {
        names.iter().map(|name| (*name, pem)).chain([more]).collect::<Vec<(&str, &str)>>()
    };
    read(SHARED, &with(("AIDT_LISTEN", "0.0.0.0:1")), &only(Service::StepConsumer)).expect("behind certificates");
    for far in ["https://steps:1", "dns://steps:1", "unix:/run/steps"] {
        read(SHARED, &with(("AIDT_STEP_CONSUMERS", far)), &only(Service::ToolWorker)).expect(far);
    }
    refused(&with(("AIDT_STEP_CONSUMERS", "http://steps:1")), &only(Service::ToolWorker), "use https://");
    refused(&with(("AIDT_LISTEN", "127.0.0.1:1")), &Serve::default(), "apart");
    for name in names {
        refused(&[(name, pem)], &only(Service::StepConsumer), "all three or none");
        refused(&[(name, "/no/such/file")], &only(Service::StepConsumer), name);
    }
}

#[test]
fn a_database_is_not_believed_unchecked_where_somebody_may_vouch_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("pem");
    std::fs::write(&pem, "-----BEGIN CERTIFICATE-----").unwrap();
    let with = |url: &'static str| [("AIDT_TLS_CA_FILE", pem.to_str().unwrap()), ("AIDT_DATABASE_URL", url)];
    for unchecked in
        ["postgres://me:pw@db/aidt", "postgres://db/aidt?sslmode=prefer", "postgres://db/a?sslmode=require"]
    {
        for service in [Service::Gateway, Service::CompletionConsumer, Service::StepConsumer] {
            refused(&with(unchecked), &only(service), "sslmode=verify-full");
        }
        read(SHARED, &with(unchecked), &only(Service::ToolWorker)).expect("it dials no database");
        let everywhere = with(unchecked).into_iter().chain([("PGSSLMODE", "verify-full")]).collect::<Vec<_>>();
        let said = unchecked.contains("sslmode");
        assert_eq!(read(SHARED, &everywhere, &only(Service::Gateway)).is_err(), said, "the URL counts first");
    }
    for told in ["postgres://db/a?sslmode=verify-full", "postgres://db/a?sslmode=disable", "postgres://127.0.0.1/a"] {
        read(SHARED, &with(told), &only(Service::Gateway)).expect(told);
    }
}

#[test]
fn what_a_service_of_this_host_is_told_of_workers_is_nothing_to_a_command_that_embeds() {
    for set in [
        [("AIDT_WORKER_TLS_KEY_FILE", "/no/such/file"), ("AIDT_STEP_CONSUMERS", "https://steps:1")],
        [("AIDT_WORKER_TLS_CA_FILE", "/no/such/file"), ("AIDT_STEP_CONSUMERS", "no address")],
    ] {
        let set = set.into_iter().chain([("HOME", "/base")]).collect::<Vec<_>>();
        let lookup = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let settings = Settings::embedded_from(&Source::new(&lookup), PathBuf::from("/here")).unwrap();
        assert!(settings.worker.tls.is_none() && settings.worker.step_consumers.is_empty());
    }
}

#[test]
fn nonsense_is_named() {
    for (set, why) in [
        (("AIDT_PREFIX", "a_b"), "AIDT_PREFIX"),
        (("AIDT_PARTITIONS", "0"), "AIDT_PARTITIONS"),
        (("AIDT_LISTEN", "7070"), "AIDT_LISTEN"),
        (("AIDT_HEALTH_LISTEN", "7070"), "AIDT_HEALTH_LISTEN"),
        (("AIDT_ARTIFACTS_URL", "gs://b"), "AIDT_ARTIFACTS_URL"),
        (("AIDT_TLS_CA_FILE", "/no/such/file"), "AIDT_TLS_CA_FILE"),
        (("PORT", "http"), "HTTP_PORT"),
        (("AIDT_WORKER_POOL", "A b"), "AIDT_WORKER_POOL"),
        (("AIDT_WORKER_SLOTS", "1"), "AIDT_WORKER_SLOTS"),
        (("AIDT_DRAIN_SECONDS", "soon"), "AIDT_DRAIN_SECONDS"),
        (("DATABASE_URL", "postgres://other:pw@db/x"), "DATABASE_URL"),
    ] {
        refused(&[set], &Serve::default(), why);
    }
    refused(&[("AIDT_LISTEN", "127.0.0.1:1"), ("PORT", "2")], &Serve::default(), "disagree");
    let agreed = read(SHARED, &[("AIDT_LISTEN", "127.0.0.1:2"), ("PORT", "2"), ("HTTP_PORT", "2")], &Serve::default());
    assert_eq!(agreed.unwrap().listen.port(), 2);
}
