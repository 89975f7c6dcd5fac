//! Where a tool worker dials in.

use super::names;
use super::source::invalid;
use aidt_cli::HostError;
use aidt_client::Endpoint;

/// One or more step consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepConsumers {
    /// One.
    At(Endpoint),
    /// Every address of a name, looked up again and again.
    Named {
        /// The name.
        host: String,
        /// Their port.
        port: u16,
    },
}

impl StepConsumers {
    /// Reads `http://HOST:PORT`, `unix:PATH` and `dns://NAME:PORT`, separated by commas.
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
        let Some(named) = text.strip_prefix("dns://") else {
            return text.parse().map(Self::At).map_err(|e: aidt_client::EndpointError| bad(e.to_string()));
        };
        let parts = named.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() && !host.contains(['/', '@']) => {
                Ok(Self::Named { host: host.to_owned(), port })
            }
            _ => Err(bad(format!("'{text}' is not of the form dns://NAME:PORT"))),
        }
    }
}

impl std::fmt::Display for StepConsumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(endpoint) => write!(f, "{endpoint}"),
            Self::Named { host, port } => write!(f, "dns://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_back() {
        let text = "http://a:1,unix:/run/x.sock,dns://steps.local:7071";
        let list = StepConsumers::parse_list(&format!(" {text}, ")).unwrap();
        let shown: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(shown.join(","), text);
        for bad in ["", ",", "a:1", "dns://a", "dns://:1", "dns://a:b", "https://a:1", "http://a:1,x"] {
            let error = StepConsumers::parse_list(bad).unwrap_err().to_string();
            assert!(error.contains("AIDT_STEP_CONSUMERS"), "{error}");
        }
    }
}
