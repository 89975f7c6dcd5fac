//! The processes under test, what they run over, and what can be done to them. Whoever keeps them up in
//! production is here, too: what ends by itself is started again.

use super::disk::Disk;
use super::process::{Build, Process, Service};
use super::proxy::{Proxy, Speech, Traffic};
use super::recovery::now;
use super::stack::{Party, Stack};
use crate::stage::TOKEN;
use crate::{Dice, PythonWorker, Server, Stage, eventually, python_tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// From the end of a fault until everything must be ready again. Brokers take their time to start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Far from the network's own ports for outgoing connections, and from those of the servers.
const PORTS: std::ops::Range<u16> = 12_000..19_000;

/// A stack with its load's workers.
pub(super) struct Stand {
    /// Which.
    pub(super) stack: Stack,
    /// Who is hit.
    pub(super) dice: Dice,
    // In the order in which they are to end.
    workers: Vec<PythonWorker>,
    processes: Vec<Process>,
    /// Between the first of each service and its servers, and between the first Python worker and its step consumer.
    proxies: Vec<(Service, Proxy)>,
    stage: Stage,
    /// Where the store keeps its rows.
    disk: Option<Disk>,
    logs: PathBuf,
    /// Processes that ended by themselves, and were started again.
    pub(super) restarts: usize,
}

impl Stand {
    /// Starts everything, twice each where it is apart, and waits until it is ready. With a disk that can be
    /// filled, if that is wanted.
    #[must_use]
    pub(super) fn up(stack: Stack, dice: Dice, with_disk: bool) -> Self {
        let logs = std::env::temp_dir().join(format!("aidt-chaos-{}-{}", stack.name(), std::process::id()));
        fs::create_dir_all(&logs).unwrap();
        let disk = with_disk.then(Disk::mount);
        let (stage, workers, processes) = (stack.stage(), Vec::new(), Vec::new());
        let mut stand = Self { stack, dice, workers, processes, proxies: Vec::new(), stage, disk, logs, restarts: 0 };
        match stack {
            Stack::Embedded => stand.embed(),
            Stack::Rabbitmq | Stack::Kafka => stand.spread(),
        }
        stand.restore();
        stand
    }

    fn embed(&mut self) {
        let mut settings = vec![("AIDT_TOOLS".to_owned(), python_tools())];
        if let Some(disk) = &self.disk {
            settings
                .push(("AIDT_DATABASE_URL".to_owned(), format!("sqlite:{}", disk.path().join("state.db").display())));
        }
        self.add(Service::All, &free_address(), settings);
        self.workers.push(PythonWorker::start(self.stage.home()));
    }

    fn spread(&mut self) {
        let mut common = vec![("AIDT_TOOLS".to_owned(), python_tools())];
        if let Some(disk) = &mut self.disk {
            let url = disk.with_database(&self.stack.server(Party::Store).url().unwrap());
            common.push((Party::Store.variable().to_owned(), url));
        }
        let hubs = [free_address(), free_address()];
        let dialled = hubs.iter().map(|hub| format!("http://{hub}")).collect::<Vec<_>>().join(",");
        for service in Service::APART {
            for hub in &hubs {
                let address = if service == Service::StepConsumer { hub.clone() } else { free_address() };
                let mut settings = common.clone();
                match service {
                    Service::ToolWorker => settings.push(("AIDT_STEP_CONSUMERS".to_owned(), dialled.clone())),
                    // The first of each.
                    _ if hub == &hubs[0] => settings.extend(self.through_proxies(service, &common)),
                    _ => {}
                }
                self.add(service, &address, settings);
            }
        }
        let token = self.stage.home().file("worker.token", TOKEN);
        let proxy = Proxy::start(hubs[0].parse().unwrap(), Speech::Plain);
        let dialled = [proxy.address.to_string(), hubs[1].clone()];
        self.proxies.push((Service::ToolWorker, proxy));
        for (n, hub) in dialled.iter().enumerate() {
            let url = format!("http://{hub}");
            self.workers.push(PythonWorker::dial(self.stage.home(), &format!("worker-{n}"), &url, &token));
        }
    }

    /// The settings that send a process's connections through proxies of its own.
    fn through_proxies(&mut self, service: Service, common: &[(String, String)]) -> Vec<(String, String)> {
        let through = |party: Party| {
            let server = self.stack.address(party);
            let kafka = party == Party::Queue && self.stack == Stack::Kafka;
            let proxy = Proxy::start(server, if kafka { Speech::Kafka } else { Speech::Plain });
            let told = common.iter().find(|(name, _)| name == party.variable()).map(|(_, url)| url.clone());
            let url = told.unwrap_or_else(|| self.stage.setting(party.variable()));
            let url = url.replace(&server.to_string(), &proxy.address.to_string());
            self.proxies.push((service, proxy));
            (party.variable().to_owned(), url)
        };
        Party::ALL.map(through).into()
    }

    fn add(&mut self, service: Service, address: &str, settings: Vec<(String, String)>) {
        let nth = self.of(service).count();
        let log = self.logs.join(format!("{}-{nth}.log", service.name()));
        let mut process = Process::new(service, address, settings, &log);
        process.start(&self.stage, false);
        self.processes.push(process);
    }

    fn of(&self, service: Service) -> impl Iterator<Item = usize> {
        self.processes.iter().enumerate().filter(move |(_, p)| p.service == service).map(|(n, _)| n)
    }

    /// One of the processes of a service.
    fn pick(&mut self, service: Service) -> &mut Process {
        let those: Vec<usize> = self.of(service).collect();
        let n = those[self.dice.roll(those.len() as u64) as usize];
        &mut self.processes[n]
    }

    /// SIGKILL for one of them. It stays down until [`Stand::restore`], as what else is done to it.
    pub(super) fn kill(&mut self, service: Service) {
        self.pick(service).kill();
    }

    /// SIGSTOP for one of them.
    pub(super) fn freeze(&mut self, service: Service) {
        self.pick(service).freeze();
    }

    /// Kills one of them and starts it with its clock 30 s ahead.
    pub(super) fn set_clock_ahead(&mut self, service: Service) {
        let those: Vec<usize> = self.of(service).collect();
        let n = those[self.dice.roll(those.len() as u64) as usize];
        self.processes[n].kill();
        self.processes[n].start(&self.stage, true);
    }

    /// A rolling restart: one process after the other ends, is started again, perhaps as another build, and becomes
    /// ready.
    pub(super) fn roll(&mut self, build: Build) {
        for n in 0..self.processes.len() {
            self.processes[n].roll(&self.stage, build);
            eventually("what was restarted is ready", READY_WITHIN, || self.processes[n].is_ready());
        }
    }

    /// What goes between the first of them and its servers; for a tool worker: between the first that is in Python
    /// and its step consumer.
    pub(super) fn set_traffic(&self, service: Service, traffic: Traffic) {
        self.proxies.iter().filter(|(of, _)| *of == service).for_each(|(_, proxy)| proxy.set(traffic));
    }

    /// A server, to do something to.
    #[must_use]
    pub(super) fn server(&self, party: Party) -> aidt_servers::Server {
        self.stack.server(party)
    }

    /// The disk of the store.
    ///
    /// # Panics
    /// When it was not wanted at the start.
    #[must_use]
    pub(super) fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("this fault wants a disk")
    }

    /// Starts what has ended by itself, as whoever runs services does.
    pub(super) fn tend(&mut self) {
        for process in &mut self.processes {
            if process.ended_by_itself() {
                self.restarts += 1;
                process.start(&self.stage, false);
            }
        }
    }

    /// Ends every fault, and waits until all that there is is ready. Answers when the servers were back.
    pub(super) fn restore(&mut self) -> i64 {
        self.disk.iter().for_each(Disk::free);
        if self.processes.iter().any(|process| !process.is_of(Build::This)) {
            self.roll(Build::This);
        }
        if self.stack != Stack::Embedded {
            for server in Party::ALL.map(|party| self.stack.server(party)) {
                // Refused by one that is down, which is started next.
                drop(server.thaw());
                server.start().unwrap();
            }
        }
        self.proxies.iter().for_each(|(_, proxy)| proxy.set(Traffic::Flows));
        for process in &mut self.processes {
            process.restore(&self.stage);
        }
        let back = now();
        eventually("everything is ready", READY_WITHIN, || {
            self.tend();
            self.processes.iter().all(Process::is_ready)
        });
        back
    }

    /// Where load goes in.
    #[must_use]
    pub(super) fn doors(&self) -> Vec<String> {
        self.processes.iter().filter(|p| p.service.is_door()).map(|p| p.address.clone()).collect()
    }

    /// One that is up after [`Stand::restore`].
    #[must_use]
    pub(super) fn door(&self) -> &Server {
        self.processes.iter().filter(|p| p.service.is_door()).find_map(Process::server).expect("all are up")
    }

    /// The calls that the Python workers executed.
    #[must_use]
    pub(super) fn executed(&self) -> Vec<Vec<String>> {
        self.workers[0].executed()
    }

    /// What its processes said.
    #[must_use]
    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }
}

/// A port of loopback that nobody uses, and nobody is given by the network while its owner is down.
fn free_address() -> String {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    let first = (std::process::id() % u32::from(count)) as u16;
    let port = std::iter::repeat_with(|| NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        .map(|n| PORTS.start + (first + n) % count)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    format!("127.0.0.1:{}", port.unwrap())
}
