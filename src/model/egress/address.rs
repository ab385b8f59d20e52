//! Which addresses are not the public internet's. A name never leads to one of them; only an entry that lists it as an address does.

use ::core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// What an address is, if it is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Loopback,
    Private,
    LinkLocal,
    /// Where a cloud tells a machine its secrets.
    Metadata,
    Multicast,
    /// Between a provider and its customers (CGNAT).
    Shared,
    /// Stands for an IPv4 address in IPv6: 6to4, NAT64, Teredo.
    Translated,
    Reserved,
    /// Of the machine that runs the step, however public it looks.
    Own,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a metadata address",
            Self::Multicast => "a multicast address",
            Self::Shared => "a shared address",
            Self::Translated => "a translated address",
            Self::Reserved => "a reserved address",
            Self::Own => "an address of this machine",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8, kind: Kind) -> (IpNet, Kind) {
    (IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)), kind)
}

const fn v6(parts: [u16; 8], bits: u8, kind: Kind) -> (IpNet, Kind) {
    let [a, b, c, d, e, f, g, h] = parts;
    (IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), bits)), kind)
}

/// By IANA's registries of special addresses, and the metadata addresses that clouds document. Of several that hold an address the narrowest counts.
const SPECIAL: [(IpNet, Kind); 37] = [
    v4(0, 0, 0, 0, 8, Kind::Reserved),
    v4(10, 0, 0, 0, 8, Kind::Private),
    v4(100, 64, 0, 0, 10, Kind::Shared),
    v4(100, 100, 100, 200, 32, Kind::Metadata),
    v4(127, 0, 0, 0, 8, Kind::Loopback),
    v4(168, 63, 129, 16, 32, Kind::Metadata),
    v4(169, 254, 0, 0, 16, Kind::LinkLocal),
    v4(169, 254, 169, 254, 32, Kind::Metadata),
    v4(169, 254, 169, 253, 32, Kind::Metadata),
    v4(169, 254, 170, 2, 32, Kind::Metadata),
    v4(169, 254, 170, 23, 32, Kind::Metadata),
    v4(172, 16, 0, 0, 12, Kind::Private),
    v4(192, 0, 0, 0, 24, Kind::Reserved),
    v4(192, 0, 0, 192, 32, Kind::Metadata),
    v4(192, 0, 2, 0, 24, Kind::Reserved),
    v4(192, 88, 99, 0, 24, Kind::Translated),
    v4(192, 168, 0, 0, 16, Kind::Private),
    v4(198, 18, 0, 0, 15, Kind::Reserved),
    v4(198, 51, 100, 0, 24, Kind::Reserved),
    v4(203, 0, 113, 0, 24, Kind::Reserved),
    v4(224, 0, 0, 0, 4, Kind::Multicast),
    v4(240, 0, 0, 0, 4, Kind::Reserved),
    // Everything but global unicast, which is 2000::/3.
    v6([0; 8], 3, Kind::Reserved),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, Kind::Reserved),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, Kind::Reserved),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Kind::Loopback),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Kind::Translated),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Kind::Translated),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Kind::Reserved),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Kind::Translated),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Kind::Reserved),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Kind::Translated),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Kind::Reserved),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Kind::Private),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, Kind::Metadata),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Kind::LinkLocal),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Kind::Multicast),
];

/// What an address is, if it is not public. An IPv4 address that stands in IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
pub fn kind(address: IpAddr) -> Option<Kind> {
    special(address).map(|(_, kind)| kind)
}

/// The narrowest special network that holds it.
pub(super) fn special(address: IpAddr) -> Option<(IpNet, Kind)> {
    let address = address.to_canonical();
    SPECIAL.iter().filter(|(net, _)| net.contains(&address)).max_by_key(|(net, _)| net.prefix_len()).copied()
}
