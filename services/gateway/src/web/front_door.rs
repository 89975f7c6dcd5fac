//! The front door of an API that is open to its own machine without a key: a web page must reach it
//! neither by DNS rebinding (so the Host must be a loopback name) nor from another origin.

use super::problem::Problem;
use aidt_domain::ErrorCode;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri, header, uri::Authority};
use std::net::IpAddr;

/// How callers come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// A loopback address: a Host is required.
    Loopback,
    /// A unix socket, which no web page can reach: a Host may be absent.
    Socket,
}

/// Lets a request in, or answers 403.
pub(crate) async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    match check(door, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => Problem::new(ErrorCode::Forbidden, why).into_response(),
    }
}

fn check(door: Door, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
    let mut hosts = Vec::new();
    // HTTP/2's :authority, or an absolute-form target.
    hosts.extend(uri.authority().map(Authority::as_str));
    for value in headers.get_all(header::HOST) {
        hosts.push(value.to_str().map_err(|_| "the Host header is not text".to_owned())?);
    }
    for host in &hosts {
        if !is_loopback(host) {
            return Err(format!("the host {} is not a loopback name or address", clip(host)));
        }
    }
    let host = match hosts[..] {
        [] if door == Door::Socket => None,
        [] => return Err("the Host header is missing".to_owned()),
        [first, ref others @ ..] if others.iter().all(|o| o.eq_ignore_ascii_case(first)) => Some(first),
        _ => return Err("there is more than one Host".to_owned()),
    };
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) if same_origin(origin.to_str().unwrap_or_default(), host) => Ok(()),
        Some(origin) => {
            Err(format!("the origin {} is not this server's own", clip(origin.to_str().unwrap_or("that is not text"))))
        }
    }
}

/// `localhost`, a name under it (RFC 6761: it resolves to loopback), 127.0.0.0/8 or `[::1]`; any port.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    match bare.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => {
            let name = name.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

fn same_origin(origin: &str, host: Option<&str>) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    matches!(scheme, "http" | "https") && host.is_some_and(|h| h.eq_ignore_ascii_case(rest))
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knock(door: Door, host: Option<&str>, origin: Option<&str>) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(door, &"/v1/runs".parse().unwrap(), &headers)
    }

    #[test]
    fn only_loopback_hosts_come_in() {
        for host in
            ["localhost", "localhost:7400", "LOCALHOST", "127.0.0.1:7400", "127.8.9.1", "[::1]:7400", "a.localhost"]
        {
            assert_eq!(knock(Door::Loopback, Some(host), None), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "localhost@evil.example",
            "xlocalhost",
            "",
        ] {
            assert!(knock(Door::Loopback, Some(host), None).is_err(), "{host}");
        }
    }

    #[test]
    fn only_a_socket_may_go_without_a_host() {
        assert!(knock(Door::Loopback, None, None).is_err());
        assert_eq!(knock(Door::Socket, None, None), Ok(()));
        assert!(knock(Door::Socket, Some("evil.example"), None).is_err());
        assert!(knock(Door::Socket, None, Some("http://localhost")).is_err());
    }

    #[test]
    fn an_origin_must_be_the_very_same() {
        let host = Some("localhost:7400");
        assert_eq!(knock(Door::Loopback, host, Some("http://localhost:7400")), Ok(()));
        for origin in [
            "http://localhost:3000",
            "http://evil.example",
            "null",
            "localhost:7400",
            "file://localhost:7400",
            "http://127.0.0.1:7400",
        ] {
            assert!(knock(Door::Loopback, host, Some(origin)).is_err(), "{origin}");
        }
    }

    #[test]
    fn an_authority_in_the_target_counts_as_well() {
        let headers = HeaderMap::from_iter([(header::HOST, "localhost".parse().unwrap())]);
        assert!(check(Door::Loopback, &"http://evil.example/".parse().unwrap(), &headers).is_err());
        assert_eq!(check(Door::Loopback, &"http://localhost/".parse().unwrap(), &headers), Ok(()));
        assert!(check(Door::Loopback, &"http://127.0.0.1/".parse().unwrap(), &headers).is_err());
    }
}
