//! Who guesses references, and where a request really comes from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use landbridge_transport::PeerAddr;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond, those whose minute is over are forgotten, and then all.
const MAX: usize = 10_000;

/// Misses of each address within its current minute.
#[derive(Debug)]
pub(crate) struct ScanGuard {
    limit: u32,
    unguarded: Vec<IpAddr>,
    misses: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

/// A network that one party holds counts as one address.
fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

impl ScanGuard {
    pub(crate) fn new(limit: u32, unguarded: Vec<IpAddr>) -> Self {
        Self { limit, unguarded, misses: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, (u32, Instant)>> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an address may ask, or after how many seconds it may.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), u64> {
        let misses = self.lock();
        let Some((count, since)) = misses.get(&party(address)) else { return Ok(()) };
        let left = WINDOW.saturating_sub(since.elapsed());
        if *count <= self.limit || left.is_zero() { Ok(()) } else { Err(left.as_secs().max(1)) }
    }

    /// It asked for something that is not there.
    pub(crate) fn missed(&self, address: IpAddr) {
        if self.unguarded.contains(&address.to_canonical()) {
            return;
        }
        let mut misses = self.lock();
        if misses.len() >= MAX {
            misses.retain(|_, (_, since)| since.elapsed() < WINDOW);
        }
        if misses.len() >= MAX {
            misses.clear();
        }
        let entry = misses.entry(party(address)).or_insert((0, Instant::now()));
        if entry.1.elapsed() >= WINDOW {
            *entry = (0, Instant::now());
        }
        entry.0 += 1;
    }
}

/// The address of the client: of the connection, or, if that comes from a listed proxy, the last one in
/// `X-Forwarded-For` that is none.
pub(crate) fn client_address(head: &Parts, proxies: &[IpAddr]) -> Option<IpAddr> {
    let PeerAddr(peer) = head.extensions.get::<PeerAddr>()?;
    let is_proxy = |address: &IpAddr| proxies.contains(&address.to_canonical());
    if !is_proxy(&peer.ip()) {
        return Some(peer.ip());
    }
    let values = head.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let client = hops.iter().rev().map_while(|hop| hop.parse().ok()).find(|hop| !is_proxy(hop));
    Some(client.unwrap_or(peer.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn only_who_misses_too_often_has_to_wait() {
        let one: IpAddr = [192, 0, 2, 1].into();
        let (other, free): (IpAddr, IpAddr) = ([192, 0, 2, 2].into(), [192, 0, 2, 3].into());
        let guard = ScanGuard::new(3, vec![free]);
        for _ in 0..3 {
            guard.missed(one);
            assert_eq!(guard.check(one), Ok(()));
        }
        guard.missed(one);
        assert!(guard.check(one).is_err_and(|wait| (1..=60).contains(&wait)));
        assert_eq!(guard.check(other), Ok(()));
        for _ in 0..10 {
            guard.missed(free);
        }
        assert_eq!(guard.check(free), Ok(()));
        let net = |host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host));
        for host in 0..4 {
            guard.missed(net(host));
        }
        assert!(guard.check(net(99)).is_err(), "one network is one party");
    }

    #[test]
    fn forwarded_addresses_count_only_from_proxies() {
        let address = |peer: &str, forwarded: &[&str]| {
            let mut request = Request::new(());
            request.extensions_mut().insert(PeerAddr(format!("{peer}:1").parse().unwrap()));
            for value in forwarded {
                request.headers_mut().append("x-forwarded-for", value.parse().unwrap());
            }
            let proxies = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
            client_address(&request.into_parts().0, &proxies).unwrap().to_string()
        };
        assert_eq!(address("192.0.2.9", &["198.51.100.1"]), "192.0.2.9", "anybody can write a header");
        assert_eq!(address("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(address("10.0.0.1", &["1.1.1.1", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.1, junk"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
    }
}
