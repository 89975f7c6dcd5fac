//! TLS to servers, and between step consumers and tool workers.

#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_servers::{Instance, Kind};
use aidt_tests::{Authority, Home, Identity, Server, Stage, eventually, text};
use serde_json::json;
use std::net::TcpListener;
use std::time::Duration;

const HERE: &str = "127.0.0.1";
const KINDS: [(Kind, &str); 3] =
    [(Kind::Postgres, "AIDT_DATABASE_URL"), (Kind::Redis, "AIDT_LOCK_URL"), (Kind::RabbitMq, "AIDT_QUEUE_URL")];

/// Servers of this test's own, stopped and removed with the value.
struct Servers {
    instance: Instance,
    _folder: tempfile::TempDir,
}

impl Servers {
    fn with(identity: &Identity) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = Self { instance: Instance::at(&folder.path().join("servers")).unwrap(), _folder: folder };
        let kinds = KINDS.map(|(kind, _)| kind);
        for kind in kinds {
            servers.instance.server(kind).use_tls(&identity.certificate, &identity.key).unwrap();
        }
        servers.instance.up(&kinds, &|text| println!("{text}")).unwrap();
        servers
    }

    /// What a gateway is told: clear text to all but those that this picks.
    fn told(&self, host: &str, over_tls: impl Fn(Kind) -> bool) -> Vec<(&'static str, String)> {
        let url = |kind| {
            let server = self.instance.server(kind);
            if over_tls(kind) { server.tls_url(host).unwrap() } else { server.url().unwrap() }
        };
        KINDS.iter().map(|(kind, variable)| (*variable, url(*kind))).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Err(error) = self.instance.down(&KINDS.map(|(kind, _)| kind), true) {
            eprintln!("the servers of the test were not stopped: {error}");
        }
    }
}

#[test]
fn servers_are_believed_only_if_their_certificates_hold() {
    let (ours, theirs) = (Authority::default(), Authority::default());
    let servers = Servers::with(&ours.vouches_for(HERE));
    let home = Home::default();
    let ca = |name: &str, pem: &str| ("AIDT_TLS_CA_FILE", home.file(name, pem).display().to_string());
    let (right, wrong) = (ca("right.pem", &ours.pem), ca("wrong.pem", &theirs.pem));
    let gateway = |told: Vec<(&str, String)>, ca: &(&str, String)| {
        let mut command = home.command(&["serve", "gateway", "--listen", "127.0.0.1:0"]);
        command.envs(told).env(ca.0, &ca.1);
        command
    };
    let mut serving = Server::spawn(gateway(servers.told(HERE, |_| true), &right));
    serving.until_ready();
    assert_eq!(serving.terminate(), Some(0));
    for (kind, _) in KINDS {
        // The certificate is for the address, not for the name.
        for (why, host, ca) in [("another authority", HERE, &wrong), ("another name", "localhost", &right)] {
            let output = gateway(servers.told(host, |over_tls| over_tls == kind), ca).output().unwrap();
            let said = text(&output);
            assert!(!output.status.success(), "{kind}, {why}: {said}");
            assert!(said.contains("AIDT_TLS_CA_FILE") && said.contains("certificate"), "{kind}, {why}: {said}");
        }
    }
}

#[test]
fn workers_of_other_hosts_come_in_with_a_certificate_that_holds_and_not_without() {
    let stage = Stage::rabbitmq();
    let (ours, theirs) = (Authority::default(), Authority::default());
    let tls = |who: &str, ca: &Authority, identity: &Identity| {
        let file = |what: &str, pem: &str| stage.home().file(&format!("{who}-{what}.pem"), pem).display().to_string();
        vec![
            ("AIDT_WORKER_TLS_CA_FILE", file("ca", &ca.pem)),
            ("AIDT_WORKER_TLS_CERT_FILE", file("certificate", &identity.certificate)),
            ("AIDT_WORKER_TLS_KEY_FILE", file("key", &identity.key)),
        ]
    };
    let (gateway, _owner) = (stage.spawn("gateway"), stage.spawn("completion-consumer"));
    let for_health = TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().to_string();
    let mut told = tls("steps", &ours, &ours.vouches_for(HERE));
    told.push(("AIDT_HEALTH_LISTEN", for_health.clone()));
    let mut steps = stage.spawn_with("step-consumer", &told);
    let at = ("AIDT_STEP_CONSUMERS", format!("https://{}", std::mem::replace(&mut steps.address, for_health)));
    steps.until_ready();
    let worker = |who: &str, ca: &Authority, identity: &Identity| {
        let mut told = tls(who, ca, identity);
        told.push(at.clone());
        stage.spawn_with("tool-worker", &told)
    };
    let strangers = [
        ("a worker of another authority", worker("a", &ours, &theirs.vouches_for("worker"))),
        ("a worker whose certificate has expired", worker("b", &ours, &ours.vouched_for("worker"))),
        ("a worker that trusts another authority", worker("c", &theirs, &ours.vouches_for("worker"))),
    ];
    for (who, stranger) in &strangers {
        eventually(who, Duration::from_secs(30), || {
            let reply = stranger.get("/ready");
            let told = reply.body.contains("connected to no step consumer") && !reply.body.contains("not dialled yet");
            reply.status == 503 && told
        });
    }
    let plan = json!({"name": "far", "steps": [{"id": "a", "tool": "debug.echo", "with": {"value": 1}}]});
    let run = gateway.submit(&plan);
    eventually("nobody serves the run", Duration::from_secs(30), || {
        gateway.get(&format!("/v1/runs/{run}/explain")).body.contains("no_worker")
    });
    let mut friend = worker("d", &ours, &ours.vouches_for("worker"));
    friend.until_ready();
    gateway.until(&run, &["done"]);
    let why = strangers[2].1.get("/ready").body;
    assert!(why.contains("AIDT_WORKER_TLS_CA_FILE"), "{why}");
    for (who, stranger) in strangers {
        let reply = stranger.get("/ready");
        assert_eq!(reply.status, 503, "{who}");
        println!("{who}: {}", reply.body);
        assert_eq!(stranger.terminate(), Some(0), "{who}");
    }
}
