use ::core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn policy(rules: &[&str]) -> Policy {
    Policy::Only(rules.iter().map(|rule| rule.parse().unwrap_or_else(|why| panic!("{rule}: {why}"))).collect())
}

/// Whether something is reached by a step, without names that lead anywhere else.
fn admits(policy: &Policy, host: &str, port: u16) -> bool {
    Host::parse(host).is_ok_and(|host| policy.admits(&host, port).is_ok())
}

#[test]
fn rules_are_read_and_written_one_way() {
    for (text, shown) in [
        ("example.com", "example.com:443"),
        ("EXAMPLE.Com.", "example.com:443"),
        ("example.com:80", "example.com:80"),
        ("*.Example.com:8443", "*.example.com:8443"),
        ("bücher.example", "xn--bcher-kva.example:443"),
        ("_srv.example.com", "_srv.example.com:443"),
        ("registry:5000", "registry:5000"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("10.1.0.0/16:5432", "10.1.0.0/16:5432"),
        ("::1", "[::1]:443"),
        ("[::1]:8080", "[::1]:8080"),
        ("[fd00::/8]:443", "[fd00::/8]:443"),
        ("fd00::/8", "[fd00::/8]:443"),
    ] {
        let rule: Rule = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(rule.to_string(), shown);
        assert_eq!(rule.to_string().parse(), Ok(rule));
    }
}

#[test]
fn rules_that_make_no_sense_say_why() {
    for (text, why) in [
        ("", "empty host"),
        ("http://example.com", "URL"),
        ("example.com/path", "no network"),
        ("example.com:0", "no port"),
        ("example.com:+443", "no port"),
        ("example.com:65536", "no port"),
        ("example.com:https", "no port"),
        ("*", "network: open"),
        ("*.com", "everything in com"),
        ("a.*.com", "no part of a host name"),
        ("*.10.0.0.1", "nothing below it"),
        ("a..b", "no part of a host name"),
        ("a b", "invalid"),
        ("user@example.com", "invalid"),
        ("%65xample.com", "\"%\""),
        ("10.1.2.3/16", "the network is 10.1.0.0/16"),
        ("10.0.0.0/33", "no network"),
        ("2852039166", "write 169.254.169.254"),
        ("0x7f.1", "write 127.0.0.1"),
        ("::ffff:10.0.0.1", "write 10.0.0.1"),
        ("[::1", "no ]"),
        ("[::1]443", "no port"),
    ] {
        let error = text.parse::<Rule>().expect_err(text);
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn a_name_is_admitted_however_it_is_spelt_and_nothing_else_is() {
    let policy = policy(&["crates.io", "*.example.com", "deb.debian.org:80"]);
    for (host, port) in
        [("crates.io", 443), ("CRATES.io.", 443), ("%63rates.io", 443), ("a.example.com", 443), ("a.b.example.com", 443), ("deb.debian.org", 80)]
    {
        assert!(admits(&policy, host, port), "{host}:{port}");
    }
    for (host, port) in [
        ("crates.io", 80),
        ("deb.debian.org", 443),
        ("example.com", 443),
        (".example.com", 443),
        ("evilexample.com", 443),
        ("example.com.evil.org", 443),
        ("xcrates.io", 443),
        ("crates.io.evil", 443),
        ("crates.io..", 443),
        ("crates.io\0.evil", 443),
        ("crates.io#.evil", 443),
        ("user@crates.io", 443),
        ("93.184.216.34", 443),
    ] {
        assert!(!admits(&policy, host, port), "{host}:{port}");
    }
}

#[test]
fn every_spelling_of_an_address_is_that_address() {
    let learn = Policy::Learn;
    for spelling in [
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "%31%36%39.254.169.254",
        "１６９.254.169.254",
        "169.254.169.254.",
        "::ffff:169.254.169.254",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "fd00:ec2::254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ] {
        let host = Host::parse(spelling).unwrap_or_else(|why| panic!("{spelling}: {why}"));
        assert!(matches!(learn.admits(&host, 80), Err(Blocked::NotPublic { .. })), "{spelling}: {host:?}");
    }
}

#[test]
fn what_is_not_public_is_reached_by_an_address_only() {
    let name = Host::Name("db.example.com".to_owned());
    let reached = |policy: &Policy, address: &str, own| policy.admits_address(&name, address.parse().expect("an address"), 5432, own).is_ok();
    let named = policy(&["db.example.com:5432"]);
    assert!(reached(&named, "93.184.216.34", false) && reached(&named, "2606:2800:220:1::1", false));
    for address in [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.168.1.1",
        "224.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "198.18.0.1",
        "168.63.129.16",
    ] {
        assert!(!reached(&named, address, false), "{address}");
    }
    assert!(!reached(&named, "93.184.216.34", true), "the machine's own address");
    let listed = policy(&["db.example.com:5432", "10.0.0.0/8:5432", "93.184.216.34:5432"]);
    assert!(reached(&listed, "10.0.0.1", false) && reached(&listed, "93.184.216.34", true));
    assert!(!reached(&listed, "127.0.0.1", false));
    let wide = policy(&["db.example.com:5432", "0.0.0.0/0:5432", "169.254.0.0/16:5432", "[::/0]:5432"]);
    for address in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1"] {
        assert!(!reached(&wide, address, false), "{address} is not meant by everything around it");
    }
    assert!(reached(&wide, "169.254.1.1", false) && reached(&policy(&["169.254.169.254:5432"]), "169.254.169.254", false));
    assert!(!reached(&policy(&["10.0.0.0/8:80"]), "10.0.0.1", false), "another port");
}

#[test]
fn the_table_of_special_networks_has_no_host_bits() {
    for address in ["10.255.255.255", "172.31.255.255", "fdff::1", "3fff:fff::1"] {
        assert!(kind(address.parse().expect("an address")).is_some(), "{address}");
    }
    for address in ["9.255.255.255", "11.0.0.0", "172.32.0.0", "100.128.0.0", "1.1.1.1", "8.8.8.8", "2606:4700::1111", "2a00::1"] {
        assert_eq!(kind(address.parse().expect("an address")), None, "{address}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_makes_a_rule_panic_and_a_rule_reads_back(text in "[\\PC]{0,40}|[0-9a-fx.:/\\[\\]*%-]{0,24}|([a-z0-9-]{1,6}\\.){0,3}[a-z]{1,6}(:[0-9]{1,5})?") {
        if let Ok(rule) = text.parse::<Rule>() {
            prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule.clone()));
            let kept = serde_json::to_string(&rule).expect("serialises");
            prop_assert_eq!(serde_json::from_str::<Rule>(&kept).expect("reads back"), rule);
        }
    }

    #[test]
    fn a_host_means_the_same_when_it_is_written_again(text in "[\\PC]{0,40}|[0-9a-fx.%]{0,20}") {
        if let Ok(host) = Host::parse(&text) {
            prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
        }
    }

    #[test]
    fn no_address_but_the_listed_one_is_admitted(listed in any::<u32>(), other in any::<u32>()) {
        let (listed, other) = (Ipv4Addr::from(listed), Ipv4Addr::from(other));
        let policy = policy(&[&format!("{listed}:80")]);
        prop_assert!(admits(&policy, &listed.to_string(), 80));
        prop_assert!(admits(&policy, &u32::from(listed).to_string(), 80), "however it is spelt");
        let mapped = format!("[{}]", listed.to_ipv6_mapped());
        prop_assert!(admits(&policy, &mapped, 80));
        prop_assert!(!admits(&policy, &listed.to_string(), 81));
        prop_assert_eq!(admits(&policy, &other.to_string(), 80), other == listed);
    }

    #[test]
    fn a_name_never_leads_to_an_address_that_is_not_public(bits in any::<u128>(), small in any::<u32>()) {
        let name = Host::Name("a.example".to_owned());
        for policy in [policy(&["a.example:1"]), Policy::Learn] {
            for address in [IpAddr::from(Ipv6Addr::from(bits)), IpAddr::from(Ipv4Addr::from(small)), IpAddr::from(Ipv4Addr::from(small).to_ipv6_mapped())] {
                prop_assert_eq!(policy.admits_address(&name, address, 1, false).is_ok(), kind(address).is_none());
            }
        }
    }
}

#[test]
fn two_entries_have_in_common_what_both_lead_to_and_never_more() {
    let rule = |text: &str| text.parse::<Rule>().unwrap_or_else(|why| panic!("{text}: {why}"));
    for (wanted, cap, both) in [
        ("a.example.com", "a.example.com", Some("a.example.com:443")),
        ("a.example.com:80", "a.example.com", None),
        ("a.example.com", "*.example.com", Some("a.example.com:443")),
        ("*.example.com", "a.example.com", Some("a.example.com:443")),
        ("*.b.example.com", "*.example.com", Some("*.b.example.com:443")),
        ("*.example.com", "*.b.example.com", Some("*.b.example.com:443")),
        ("example.com", "*.example.com", None),
        ("evilexample.com", "*.example.com", None),
        ("10.0.0.0/8", "10.1.0.0/16", Some("10.1.0.0/16:443")),
        ("10.1.2.0/24", "10.1.0.0/16", Some("10.1.2.0/24:443")),
        ("10.1.0.0/16", "10.2.0.0/16", None),
        ("8.8.8.0/24", "0.0.0.0/0", Some("8.8.8.0/24:443")),
        // The internet is not what is special in it, and might have this machine's own address in it.
        ("10.1.0.0/16", "0.0.0.0/0", None),
        ("169.254.169.254:80", "0.0.0.0/0:80", None),
        ("169.254.169.254:80", "169.254.0.0/16:80", None),
        ("8.8.8.8", "0.0.0.0/0", None),
        ("0.0.0.0/0", "8.8.8.8", Some("8.8.8.8:443")),
        ("a.example.com", "0.0.0.0/0", None),
    ] {
        assert_eq!(rule(wanted).within(&rule(cap)).map(|both| both.to_string()).as_deref(), both, "{wanted} within {cap}");
    }
}
