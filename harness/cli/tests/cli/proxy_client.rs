//! The proxy driven by a client that was written for Toxiproxy, and by the requests that such clients send.

use crate::proxy::{Tool, connect, echo, ping};
use serde_json::json;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use toxiproxy_rust::client::Client;
use toxiproxy_rust::proxy::ProxyPack;

fn pack(name: &str, listen: &str) -> ProxyPack {
    ProxyPack::new(name.to_owned(), listen.to_owned(), echo().to_string())
}

fn round_trip(stream: &mut TcpStream) -> Duration {
    let sent_at = Instant::now();
    assert!(ping(stream));
    sent_at.elapsed()
}

#[test]
fn a_client_of_toxiproxy_creates_breaks_resets_and_deletes() {
    let tool = Tool::start(&[]);
    let client = Client::new(tool.api);
    assert!(client.is_running());
    assert!(client.version().expect("a version").contains("\"2."));
    let proxies = client
        .populate(vec![pack("cache", "127.0.0.1:0")])
        .expect("populated");
    let cache = &proxies[0];
    let address = cache.proxy_pack.listen.parse().expect("a port was chosen");
    let mut existing = connect(address);
    assert!(ping(&mut existing));

    let slow = Duration::from_millis(120);
    let applied = cache
        .with_latency("downstream".into(), 120, 0, 1.0)
        .apply(|| {
            assert!(round_trip(&mut existing) >= slow, "existing connections");
            assert!(round_trip(&mut connect(address)) >= slow, "new ones");
        });
    applied.expect("the toxic was in force, and is gone");
    assert_eq!(cache.toxics().expect("listed").len(), 0);

    let down = cache.with_down(|| {
        let refused = TcpStream::connect(address).expect_err("down");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(existing.read(&mut [0; 1]).is_err(), "it was reset");
    });
    down.expect("it was down, and is up again");
    assert!(ping(&mut connect(address)));

    cache.with_timeout("upstream".into(), 0, 1.0);
    cache.disable().expect("disabled");
    client.reset().expect("reset");
    let all = client.all().expect("listed");
    assert!(all["cache"].proxy_pack.enabled);
    assert_eq!(all["cache"].proxy_pack.toxics.len(), 0);
    assert!(ping(&mut connect(address)));

    client
        .find_proxy("cache")
        .expect("found")
        .delete()
        .expect("deleted");
    assert_eq!(client.all().expect("listed").len(), 0);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn every_toxic_of_the_client_is_taken_and_felt() {
    let tool = Tool::start(&[]);
    let client = Client::new(tool.api);
    let proxies = client
        .populate(vec![pack("cache", "127.0.0.1:0")])
        .expect("populated");
    let cache = &proxies[0];
    let address = cache.proxy_pack.listen.parse().expect("a port");
    let down = || "downstream".to_owned();

    // 4 bytes at 1 kB/s.
    let bandwidth = cache.with_bandwidth(down(), 1, 1.0).apply(|| {
        assert!(round_trip(&mut connect(address)) >= Duration::from_millis(4));
    });
    bandwidth.expect("bandwidth");
    let slices = cache.with_slicer(down(), 1, 0, 10_000, 1.0).apply(|| {
        assert!(round_trip(&mut connect(address)) >= Duration::from_millis(30));
    });
    slices.expect("slicer");
    let limited = cache.with_limit_data(down(), 6, 1.0).apply(|| {
        let mut stream = connect(address);
        assert!(ping(&mut stream));
        assert!(!ping(&mut stream), "8 bytes are too many");
    });
    limited.expect("limit_data");
    let slow_end = cache.with_slow_close(down(), 80, 1.0).apply(|| {
        let mut stream = connect(address);
        assert!(ping(&mut stream));
        let asked_at = Instant::now();
        stream.shutdown(std::net::Shutdown::Write).expect("an end");
        assert_eq!(stream.read(&mut [0; 1]).ok(), Some(0));
        assert!(asked_at.elapsed() >= Duration::from_millis(80));
    });
    slow_end.expect("slow_close");
    let timeout = cache.with_timeout(down(), 60, 1.0).apply(|| {
        let mut stream = connect(address);
        let began = Instant::now();
        assert!(!ping(&mut stream));
        assert!(began.elapsed() >= Duration::from_millis(50));
    });
    timeout.expect("timeout");
    assert!(ping(&mut connect(address)), "all are gone");
}

#[test]
fn answers_have_the_shapes_and_codes_that_clients_know() {
    let tool = Tool::start(&[]);
    let upstream = echo();
    let body = json!({"name": "a", "upstream": upstream.to_string()}).to_string();
    assert_eq!(tool.http("POST", "/proxies", &body).0, 201);
    let refused = |method, path, body: &str| {
        let (status, body) = tool.http(method, path, body);
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["status"], status);
        (status, body["error"].as_str().expect("an error").to_owned())
    };
    let told = |status: u16, text: &str| (status, text.to_owned());
    assert_eq!(
        refused("POST", "/proxies", &body),
        told(409, "proxy already exists")
    );
    assert_eq!(
        refused("POST", "/proxies", "{}"),
        told(400, "missing required field: name")
    );
    let unnamed = r#"[{"name": "b", "upstream": "127.0.0.1:1"}, {"upstream": "x"}]"#;
    let missing = "missing required field: name at proxy 2";
    assert_eq!(refused("POST", "/populate", unnamed), told(400, missing));
    assert_eq!(
        refused("GET", "/proxies/b", ""),
        told(404, "proxy not found")
    );
    assert_eq!(
        refused("DELETE", "/proxies/b", ""),
        told(404, "proxy not found")
    );
    let toxics = "/proxies/a/toxics";
    assert_eq!(
        refused("GET", "/proxies/a/toxics/x", ""),
        told(404, "toxic not found")
    );
    assert_eq!(
        refused("POST", toxics, r#"{"type": "x"}"#),
        told(400, "invalid toxic type")
    );
    assert!(
        refused("POST", toxics, "{")
            .1
            .starts_with("bad request body: ")
    );
    let taken = json!({"name": "c", "upstream": "127.0.0.1:1", "listen": upstream.to_string()});
    let in_use = format!("listen tcp {upstream}: bind: address already in use");
    assert_eq!(
        refused("POST", "/proxies", &taken.to_string()),
        told(500, &in_use)
    );

    let toxic = r#"{"type": "reset_peer", "attributes": {"timeout": 60000}, "toxicity": 0.5}"#;
    let made = tool.json("POST", toxics, toxic);
    let expected = json!({
        "name": "reset_peer_downstream", "type": "reset_peer", "stream": "downstream",
        "toxicity": 0.5, "attributes": {"timeout": 60000},
    });
    assert_eq!(made, expected);
    assert_eq!(
        refused("POST", toxics, toxic),
        told(409, "toxic already exists")
    );
    let one = "/proxies/a/toxics/reset_peer_downstream";
    let changed = tool.json("PATCH", one, r#"{"attributes": {"timeout": 5}}"#);
    assert_eq!(
        (&changed["toxicity"], &changed["attributes"]["timeout"]),
        (&json!(0.5), &json!(5))
    );
    assert_eq!(
        tool.json("GET", "/proxies/a", "")["toxics"],
        json!([changed])
    );
    assert_eq!(tool.http("DELETE", one, ""), (204, String::new()));
    assert_eq!(tool.http("POST", "/reset", "").0, 204);
}

#[test]
fn an_upstream_is_changed_under_the_same_address_and_connections_are_closed() {
    let tool = Tool::start(&["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    let view = tool.json("GET", "/proxies/proxy", "");
    let address = view["listen"].as_str().expect("an address");
    let body = json!({"upstream": echo().to_string()}).to_string();
    assert_eq!(
        tool.json("POST", "/proxies/proxy", &body)["listen"],
        address
    );
    let mut stream = connect(address.parse().expect("one"));
    assert!(ping(&mut stream));
    let body = json!({"upstream": echo().to_string()}).to_string();
    tool.json("PATCH", "/proxies/proxy", &body);
    assert!(!ping(&mut stream), "as with Toxiproxy");
    assert!(ping(&mut connect(address.parse().expect("one"))));
}

/// Which of thirty connections, one after the other, a toxic hits that acts on half of them.
fn hit(seed: &str) -> Vec<bool> {
    let tool = Tool::start(&["--seed", seed]);
    let body = json!({"name": "a", "upstream": echo().to_string()}).to_string();
    let view = tool.json("POST", "/proxies", &body);
    let toxic = r#"{"type": "limit_data", "attributes": {"bytes": 0}, "toxicity": 0.5}"#;
    tool.json("POST", "/proxies/a/toxics", toxic);
    let address = view["listen"].as_str().expect("an address");
    let address = address.parse().expect("one");
    (0..30).map(|_| !ping(&mut connect(address))).collect()
}

#[test]
fn the_seed_decides_which_connections_a_toxic_hits() {
    let hits = hit("7");
    assert_eq!(hits, hit("7"));
    assert_ne!(hits, hit("8"));
    assert!(hits.contains(&true) && hits.contains(&false), "{hits:?}");
}
