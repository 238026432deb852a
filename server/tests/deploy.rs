//! What stands in `cloudflared/`, against the relay that it sets up. No container is built or started here.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;

const COMPOSE: &str = include_str!("../../cloudflared/compose.yml");
const TUNNEL: &str = include_str!("../../cloudflared/config.yml");
const IMAGE: &str = include_str!("../../cloudflared/Dockerfile");
const TOOLCHAIN: &str = include_str!("../../rust-toolchain.toml");

/// Lines without comments, and how far each is indented.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().filter_map(|line| {
        let rest = line.trim_start();
        (!rest.is_empty() && !rest.starts_with('#')).then_some((line.len() - rest.len(), rest.trim_end()))
    })
}

/// The lines below `key`, which is alone on its own.
fn below<'a>(text: &'a str, key: &str) -> Vec<(usize, &'a str)> {
    let mut lines = lines(text).skip_while(|(_, line)| *line != format!("{key}:"));
    let (depth, _) = lines.next().unwrap_or_else(|| panic!("no {key}"));
    lines.take_while(|(indent, _)| *indent > depth).collect()
}

fn value<'a>(block: &[(usize, &'a str)], key: &str) -> Option<&'a str> {
    let found = block.iter().find_map(|(_, line)| line.strip_prefix(key)?.strip_prefix(": "));
    found.map(|value| value.trim_matches('"'))
}

#[test]
fn the_settings_of_the_containers_are_the_relays() {
    let in_image = lines(IMAGE).filter_map(|(_, line)| line.strip_prefix("ENV ")?.split_once('='));
    let relay = below(COMPOSE, "relay");
    let in_compose = relay.iter().filter_map(|(_, line)| line.split_once(": "));
    let settings = in_image.chain(in_compose).filter(|(name, _)| name.starts_with("SYNC_RELAY_"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sync-relay"));
    command.arg("check-config");
    let mut count = 0;
    for (name, value) in settings {
        let value = value.trim_matches('"');
        let value = if value.starts_with("${PUBLIC_URL:?") { "https://relay.example.com" } else { value };
        command.env(name, value);
        count += 1;
    }
    assert_eq!(count, 5);
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    for expected in ["0.0.0.0:8080", "/data/relay.db", "https://relay.example.com", "172.31.77.3/32 by"] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn the_relay_trusts_the_tunnels_address_and_the_tunnel_finds_the_relay() {
    let tunnel = below(COMPOSE, "cloudflared");
    assert_eq!(value(&tunnel, "ipv4_address"), Some("172.31.77.3"));
    assert_eq!(value(&below(COMPOSE, "relay"), "SYNC_RELAY_SERVER__TRUSTED_PROXIES"), Some("172.31.77.3"));
    assert!(TUNNEL.contains("service: http://relay:8080\n"), "by the service's name");
    assert!(!COMPOSE.contains("ports:"), "nothing listens on the machine");
}

#[test]
fn the_containers_can_do_little() {
    for service in ["relay", "cloudflared"] {
        let service = below(COMPOSE, service);
        for (key, expected) in [
            ("user", "65532:65532"),
            ("read_only", "true"),
            ("cap_drop", "[ALL]"),
            ("security_opt", "[\"no-new-privileges:true\"]"),
            ("restart", "unless-stopped"),
        ] {
            assert_eq!(value(&service, key), Some(expected), "{key}");
        }
    }
    assert!(IMAGE.contains("\nUSER 65532:65532\n"));
    let check = r#"["CMD", "sync-relay", "health"]"#;
    assert_eq!(value(&below(COMPOSE, "relay"), "test"), Some(check));
}

#[test]
fn the_tunnel_ends_in_a_catch_all_and_lets_go_of_connections_before_the_relay_does() {
    let rules = below(TUNNEL, "ingress");
    let starts: Vec<_> = (0..rules.len()).filter(|n| rules[*n].1.starts_with("- ")).collect();
    let [metrics, relay, rest] = starts[..] else { panic!("{starts:?}") };
    let text =
        |range: std::ops::Range<usize>| -> Vec<_> { rules[range].iter().map(|(_, line)| *line).collect() };
    assert_eq!(text(metrics + 1..relay), ["path: ^/metrics", "service: http_status:404"]);
    assert_eq!(text(rest..rules.len()), ["- service: http_status:404"]);
    let host = |n: usize| rules[n].1.strip_prefix("- hostname: ").unwrap();
    assert_eq!(host(metrics), host(relay));
    assert_eq!(value(&rules, "keepAliveTimeout"), Some("5s"), "the relay closes after 10 s");
}

#[test]
fn the_image_is_built_with_the_projects_toolchain() {
    let channel = TOOLCHAIN.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    assert!(IMAGE.contains(&format!("FROM rust:{}-", channel.trim_matches('"'))), "{channel}");
}
