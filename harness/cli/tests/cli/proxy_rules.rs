//! Our own rules over HTTP, and the metrics.

use crate::proxy::{Tool, connect, store};
use crate::support::PATIENCE;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Enough of a server: an error for whatever is no PING.
fn redis() -> String {
    store(
        |command| match command.windows(4).any(|word| word == b"PING") {
            true => b"+PONG\r\n".to_vec(),
            false => b"-ERR unknown command\r\n".to_vec(),
        },
    )
    .to_string()
}

fn started() -> (Tool, TcpStream) {
    let listen = [
        "--listen",
        "127.0.0.1:0",
        "--protocol",
        "redis",
        "--name",
        "cache",
    ];
    let upstream = redis();
    let mut tool = Tool::start(&[&listen[..], &["--upstream", &upstream]].concat());
    let stream = connect(tool.proxy_address());
    (tool, stream)
}

fn send(stream: &mut TcpStream, command: &str) {
    let length = command.len();
    // At once: the store answers each read.
    let bytes = format!("*1\r\n${length}\r\n{command}\r\n");
    stream.write_all(bytes.as_bytes()).expect("sent");
}

fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).trim().to_owned()
}

/// Asks for the rule until it holds something; says what was last seen if it does not.
fn until_held(tool: &Tool) -> Value {
    let began = Instant::now();
    loop {
        let rule = tool.json("GET", "/proxies/cache/rules/0", "");
        if rule["held"].as_array().is_some_and(|held| !held.is_empty()) {
            return rule;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is held: {rule}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_rule_holds_the_second_command_until_it_is_released() {
    let (tool, mut stream) = started();
    let rule =
        json!({"when": {"command": "ping", "nth": 2}, "do": {"hold": {"longest_ms": 60000}}});
    let made = tool.json("POST", "/proxies/cache/rules", &rule.to_string());
    assert_eq!(made["id"], 0);
    send(&mut stream, "PING");
    assert_eq!(line(&mut stream), "+PONG");
    send(&mut stream, "PING");
    let held = until_held(&tool);
    assert_eq!((&held["matched"], &held["acted"]), (&json!(2), &json!(1)));
    assert_eq!(held["held"][0]["name"], "PING");
    let released = tool.json("POST", "/proxies/cache/rules/0/release", "");
    assert_eq!(released, json!({"released": 1}));
    assert_eq!(line(&mut stream), "+PONG");
    let listed = tool.json("GET", "/proxies/cache/rules", "");
    assert_eq!(listed[0]["released"], 1);
    assert_eq!(tool.http("DELETE", "/proxies/cache/rules/0", "").0, 204);
    assert_eq!(tool.json("GET", "/proxies/cache/rules", ""), json!([]));
}

#[test]
fn a_rule_answers_in_the_servers_stead_until_it_is_deleted() {
    let (tool, mut stream) = started();
    let rule = json!({"do": {"answer": "READONLY"}}).to_string();
    tool.json("POST", "/proxies/cache/rules", &rule);
    send(&mut stream, "PING");
    assert!(line(&mut stream).starts_with("-READONLY "));
    assert_eq!(tool.http("DELETE", "/proxies/cache/rules/0", "").0, 204);
    send(&mut stream, "PING");
    assert_eq!(line(&mut stream), "+PONG");
    let (status, body) = tool.http("DELETE", "/proxies/cache/rules/0", "");
    assert_eq!((status, body.contains("rule not found")), (404, true));
}

#[test]
fn a_rule_needs_a_protocol() {
    let tool = Tool::start(&["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    let (status, body) = tool.http("POST", "/proxies/proxy/rules", r#"{"do": "note"}"#);
    assert_eq!(status, 400);
    assert!(body.contains("does not decode"), "{body}");
}

#[test]
fn metrics_count_connections_bytes_commands_errors_and_bites() {
    let (tool, mut stream) = started();
    for command in ["PING", "PING", "GTE"] {
        send(&mut stream, command);
        line(&mut stream);
    }
    let toxic = r#"{"type": "latency", "name": "slow", "attributes": {"latency": 1}}"#;
    tool.json("POST", "/proxies/cache/toxics", toxic);
    let (_, before) = tool.http("GET", "/metrics", "");
    assert!(
        before.contains(r#"has_bitten{proxy="cache",fault="latency",name="slow"} 0"#),
        "{before}"
    );
    send(&mut stream, "PING");
    line(&mut stream);
    let (status, text) = tool.http("GET", "/metrics", "");
    assert_eq!(status, 200);
    for sample in [
        r#"touchstone_proxy_connections_total{proxy="cache"} 1"#,
        r#"touchstone_proxy_connections_open{proxy="cache"} 1"#,
        r#"touchstone_proxy_commands_total{proxy="cache",command="PING"} 3"#,
        r#"touchstone_proxy_command_errors_total{proxy="cache",command="GTE"} 1"#,
        r#"touchstone_fault_has_bitten{proxy="cache",fault="latency",name="slow"} 1"#,
        "# TYPE toxiproxy_proxy_received_bytes_total counter",
    ] {
        assert!(text.contains(sample), "no `{sample}` in\n{text}");
    }
}
