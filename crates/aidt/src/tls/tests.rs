use super::*;
use crate::settings::Secret;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const NAME: &str = "steps.example";

/// An authority of the test's own.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this name, which believes whom `ca` vouches for.
    fn signs(&self, name: &str, last_year: i32, ca: &Self) -> WorkerTls {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(last_year, 1, 1));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        WorkerTls { ca: ca.pem.clone(), cert, key: Secret::of_test(&key.serialize_pem()) }
    }
}

/// A listener that echoes one byte to whom it believes; gives its address.
#[expect(clippy::disallowed_methods, reason = "it lives as long as the test's runtime")]
async fn echo(tls: &WorkerTls) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut listener = TlsListener::new(listener, server(tls).unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = Listener::accept(&mut listener).await;
            tokio::spawn(async move {
                let byte = stream.read_u8().await.unwrap();
                stream.write_u8(byte).await.unwrap();
                stream.flush().await.unwrap();
            });
        }
    });
    address
}

/// Whether a byte comes back. A server's refusal of our certificate shows only when we read.
async fn reaches(config: Arc<ClientConfig>, host: &str, address: &str) -> Result<(), String> {
    let say = async {
        let mut stream = connect(config, host, address).await?;
        stream.write_u8(7).await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    say.await.map(|byte| assert_eq!(byte, 7)).map_err(|e| e.to_string())
}

#[tokio::test]
async fn who_can_show_who_they_are_is_let_in_and_nobody_else() {
    install_provider();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let address = echo(&ours.signs(NAME, 4000, &ours)).await;
    // One who says nothing at all holds up nobody.
    let _silent = TcpStream::connect(&address).await.unwrap();
    let right = client(&ours.signs("worker", 4000, &ours)).unwrap();
    reaches(Arc::clone(&right), NAME, &address).await.unwrap();
    let refused = |what: &'static str, tls: WorkerTls, why: &'static str| {
        let (config, address) = (client(&tls).unwrap(), address.clone());
        async move {
            let error = reaches(config, NAME, &address).await.expect_err(what);
            assert!(error.to_lowercase().contains(why), "{what}: {error}");
        }
    };
    refused("a worker of another authority", theirs.signs("worker", 4000, &ours), "unknownca").await;
    refused("a certificate that has expired", ours.signs("worker", 2021, &ours), "expired").await;
    refused("a server of another authority", ours.signs("worker", 4000, &theirs), "unknownissuer").await;
    let mut nameless = RootCertStore::empty();
    certificates("", &ours.pem).unwrap().into_iter().for_each(|c| nameless.add(c).unwrap());
    let nameless = ClientConfig::builder().with_root_certificates(nameless).with_no_client_auth();
    let error = reaches(Arc::new(nameless), NAME, &address).await.expect_err("a worker without a certificate");
    assert!(error.to_lowercase().contains("certificaterequired"), "{error}");
    let error = reaches(Arc::clone(&right), "other.example", &address).await.expect_err("another name");
    assert!(error.contains("other.example"), "{error}");
    // It serves on after all of them.
    reaches(right, NAME, &address).await.unwrap();
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired_is_not_believed() {
    install_provider();
    let ours = Authority::new("ours");
    let address = echo(&ours.signs(NAME, 2021, &ours)).await;
    let error = reaches(client(&ours.signs("worker", 4000, &ours)).unwrap(), NAME, &address).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

#[test]
fn what_cannot_be_used_names_its_setting() {
    const NONE: &str = "-----BEGIN NOTHING-----";
    install_provider();
    let refused = |tls: &WorkerTls| client(tls).unwrap_err().to_string();
    let good = {
        let ours = Authority::new("ours");
        ours.signs("worker", 4000, &ours)
    };
    for (setting, tls) in [
        ("AIDT_WORKER_TLS_CA_FILE", WorkerTls { ca: NONE.to_owned(), ..good.clone() }),
        ("AIDT_WORKER_TLS_CERT_FILE", WorkerTls { cert: NONE.to_owned(), ..good.clone() }),
        ("AIDT_WORKER_TLS_KEY_FILE", WorkerTls { key: Secret::of_test(NONE), ..good.clone() }),
        ("AIDT_WORKER_TLS_KEY_FILE", WorkerTls { cert: Authority::new("other").pem, ..good.clone() }),
    ] {
        assert!(refused(&tls).contains(setting), "{setting}: {}", refused(&tls));
        assert!(server(&tls).unwrap_err().to_string().contains(setting), "{setting}");
    }
    client(&good).and(server(&good)).map(drop).unwrap();
}
