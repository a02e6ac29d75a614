//! TLS that ends at `touchstone proxy`.

use crate::proxy::{Tool, connect, store};
use crate::support::{Place, run};
use std::io::{Read, Write};
use std::path::Path;
use touchstone_engine::tls::{Authority, Shown};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

#[test]
fn tls_ends_at_one_proxy_and_is_spoken_by_another_and_both_decode_what_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::create(dir.path()).expect("certificates");
    let identity = authority.server(Shown::Good);
    let redis = store(|_| b"+PONG\r\n".to_vec()).to_string();
    let common = ["--listen", "127.0.0.1:0", "--protocol", "redis"];
    let ends = [
        "--upstream",
        &redis,
        "--tls-cert",
        text(&identity.certificate_file),
        "--tls-key",
        text(&identity.key_file),
    ];
    let mut ending = Tool::start(&[&common[..], &ends[..]].concat());
    let upstream = ending.proxy_address().to_string();
    let speaks = [
        "--upstream",
        &upstream,
        "--upstream-tls-ca",
        text(&authority.ca_file),
    ];
    let mut speaking = Tool::start(&[&common[..], &speaks[..]].concat());
    let mut stream = connect(speaking.proxy_address());
    stream.write_all(b"PING\r\n").expect("sent");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+PONG\r\n");
    for tool in [&ending, &speaking] {
        let (_, metrics) = tool.http("GET", "/metrics", "");
        let decoded = r#"touchstone_proxy_commands_total{proxy="proxy",command="PING"} 1"#;
        assert!(metrics.contains(decoded), "{metrics}");
    }
}

#[test]
fn files_that_do_not_serve_are_told_with_their_option() {
    let place = Place::new();
    let line = ["proxy", "--listen", "127.0.0.1:0", "--upstream", "x:1"];
    for (more, told) in [
        (&["--tls-cert", "/nowhere"][..], "--tls-key"),
        (
            &["--tls-cert", "/nowhere", "--tls-key", "/nowhere"],
            "--tls-cert: cannot read /nowhere",
        ),
        (
            &["--upstream-tls-ca", "/proc/version"],
            "--upstream-tls-ca: there is no certificate",
        ),
    ] {
        let ended = run(place.touchstone().args(line).args(more));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
}
