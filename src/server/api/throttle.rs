//! How often an address may be wrong about who it is. Whoever is right is never held up: behind one address there may be many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tries of one address within `WINDOW`.
const TRIES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered. When there are more, those that were wrong longest ago are forgotten.
const ADDRESSES: usize = 4_096;

#[derive(Debug, Default)]
pub struct Throttle {
    wrong: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Throttle {
    /// Counts one more wrong try; the answer is how many seconds the address shall wait, if it was wrong too often.
    pub fn wrong(&self, address: IpAddr, now: Instant) -> Option<u64> {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= ADDRESSES && !wrong.contains_key(&key(address)) {
            wrong.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if wrong.len() >= ADDRESSES {
                let oldest = wrong.iter().min_by_key(|(_, (since, _))| *since).map(|(address, _)| *address);
                oldest.map(|oldest| wrong.remove(&oldest));
            }
        }
        let (since, count) = wrong.entry(key(address)).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        let left = WINDOW.saturating_sub(now.duration_since(*since)).as_secs().max(1);
        (*count > TRIES).then_some(left)
    }
}

/// Whoever has one address of IPv6 has a network of them.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_wrong_too_often_waits_and_nobody_else_does() {
        let throttle = Throttle::default();
        let (now, bad, other) = (Instant::now(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!((0..TRIES).all(|_| throttle.wrong(bad, now).is_none()));
        assert_eq!(throttle.wrong(bad, now), Some(60));
        assert_eq!(throttle.wrong(other, now), None);
        assert_eq!(throttle.wrong(bad, now + WINDOW), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_memory_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let of = |n: u32| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, (n >> 16) as u16, n as u16]);
        let said = (0..=TRIES).filter_map(|n| throttle.wrong(of(n), now)).count();
        assert_eq!(said, 1);
        for n in 0..10_000_u32 {
            throttle.wrong(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(throttle.wrong.lock().unwrap().len() <= ADDRESSES);
    }
}
