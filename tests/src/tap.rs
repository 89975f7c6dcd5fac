//! A TCP proxy that keeps what passes through it.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// All bytes so far, of each connection and direction apart.
type Kept = Arc<Mutex<Vec<Vec<u8>>>>;

/// The proxy. It serves on threads of its own, until the process ends.
pub struct Tap {
    address: SocketAddr,
    kept: Kept,
}

impl Tap {
    /// Stands on a free port before `upstream` (`host:port`).
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (kept, upstream) = (Kept::default(), upstream.to_owned());
        let this = Self { address, kept: Arc::clone(&kept) };
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // A server that is down: whoever dialled sees the connection closed.
                let Ok(far) = TcpStream::connect(&upstream) else { continue };
                let (near_back, far_back) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                pass(near, far, Arc::clone(&kept));
                pass(far_back, near_back, Arc::clone(&kept));
            }
        });
        this
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether these bytes passed, in one connection and direction.
    #[must_use]
    pub fn saw(&self, bytes: &[u8]) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().any(|stream| stream.windows(bytes.len()).any(|window| window == bytes))
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, kept: Kept) {
    std::thread::spawn(move || {
        let at = {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(Vec::new());
            kept.len() - 1
        };
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            kept.lock().unwrap_or_else(PoisonError::into_inner)[at].extend_from_slice(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // One side has ended: so does the other.
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    });
}
