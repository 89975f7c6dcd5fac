//! Which process listens on a port of this machine, as Linux tells it (`proc(5)`).

use std::net::IpAddr;

/// State of a listening socket in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// The process behind `host:port`, if that is this machine; of several that share it the one that was first.
pub(super) fn process_at(host: &str, port: u16) -> Option<u32> {
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_here {
        return None;
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let socket = tables.iter().find_map(|table| socket_on(table, port))?;
    let target = format!("socket:[{socket}]");
    let all = std::fs::read_dir("/proc").ok()?.flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| holds(*pid, &target)).min()
}

/// The inode of the socket that listens on a port.
fn socket_on(table: &str, port: u16) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let at = fields.get(1)?.rsplit_once(':')?.1;
        let here = u16::from_str_radix(at, 16).ok()? == port && *fields.get(3)? == LISTENS;
        if here { fields.get(9).copied() } else { None }
    })
}

/// Whether a process has this open. Not those of other users, unless this one may look.
fn holds(pid: u32, target: &str) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inode_of_a_listener_is_found_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1538 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n   \
                     1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1\n";
        assert_eq!(socket_on(table, 0x1538), Some("22"));
        assert_eq!(socket_on(table, 80), None);
    }

    #[test]
    fn this_process_is_found_by_what_it_listens_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(process_at("127.0.0.1", port), Some(std::process::id()));
        assert_eq!(process_at("192.0.2.1", port), None);
    }
}
