//! Where a tool worker dials in.

use super::names;
use super::source::invalid;
use aidt_cli::HostError;
use aidt_client::Endpoint;

/// One or more step consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepConsumers {
    /// One, on this machine.
    At(Endpoint),
    /// One, over TLS.
    Tls {
        /// Its name or address, as its certificate has it.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Every address of a name, looked up again and again; over TLS if there is a certificate to show.
    Named {
        /// The name.
        host: String,
        /// Their port.
        port: u16,
    },
}

impl StepConsumers {
    /// Reads `https://HOST:PORT`, `http://HOST:PORT`, `unix:PATH` and `dns://NAME:PORT`, separated by commas.
    pub(super) fn parse_list(text: &str) -> Result<Vec<Self>, HostError> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let list = items.map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        if list.is_empty() {
            return Err(invalid(format!("{} names no step consumer", names::STEP_CONSUMERS.name)));
        }
        Ok(list)
    }

    fn parse(text: &str) -> Result<Self, HostError> {
        let bad = |why: String| invalid(format!("{}: {why}", names::STEP_CONSUMERS.name));
        let parts = |rest: &str| {
            let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            (!host.is_empty() && !host.contains(['/', '@'])).then(|| Some((host.to_owned(), port.parse().ok()?)))?
        };
        match text.split_once("://") {
            Some(("dns", rest)) => {
                let (host, port) =
                    parts(rest).ok_or_else(|| bad(format!("'{text}' is not of the form dns://NAME:PORT")))?;
                Ok(Self::Named { host, port })
            }
            Some(("https", rest)) => {
                let (host, port) =
                    parts(rest).ok_or_else(|| bad(format!("'{text}' is not of the form https://HOST:PORT")))?;
                Ok(Self::Tls { host, port })
            }
            _ => text.parse().map(Self::At).map_err(|e: aidt_client::EndpointError| bad(e.to_string())),
        }
    }

    /// Whether what goes there stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        let local = |host: &str| host == "localhost" || host.parse().is_ok_and(|a: std::net::IpAddr| a.is_loopback());
        match self {
            Self::At(Endpoint::Unix(_)) => true,
            Self::At(Endpoint::Tcp(authority)) => {
                let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
                local(host.trim_matches(['[', ']']))
            }
            Self::Tls { host, .. } | Self::Named { host, .. } => local(host),
        }
    }
}

impl std::fmt::Display for StepConsumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(endpoint) => write!(f, "{endpoint}"),
            Self::Tls { host, port } => write!(f, "https://{host}:{port}"),
            Self::Named { host, port } => write!(f, "dns://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_back() {
        let text = "http://a:1,https://b:2,unix:/run/x.sock,dns://steps.local:7071";
        let list = StepConsumers::parse_list(&format!(" {text}, ")).unwrap();
        let shown: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(shown.join(","), text);
        for bad in ["", ",", "a:1", "dns://a", "dns://:1", "dns://a:b", "https://a", "http://a:1,x"] {
            let error = StepConsumers::parse_list(bad).unwrap_err().to_string();
            assert!(error.contains("AIDT_STEP_CONSUMERS"), "{error}");
        }
    }

    #[test]
    fn what_stays_on_this_machine() {
        let local = |text: &str| StepConsumers::parse(text).unwrap().is_local();
        for yes in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "unix:/x", "dns://localhost:1"] {
            assert!(local(yes), "{yes}");
        }
        for no in ["http://10.0.0.1:1", "http://steps:1", "dns://steps:1", "https://steps:1"] {
            assert!(!local(no), "{no}");
        }
    }
}
