//! `touchstone proxy` as somebody at a shell sees it; and what the other tests of it start it with.

use crate::support::{Ended, PATIENCE, Place, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};

/// A `touchstone proxy` under way. Killed on drop, if it has not ended.
pub(crate) struct Tool {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    pub(crate) api: SocketAddr,
    _place: Place,
}

impl Tool {
    pub(crate) fn start(args: &[&str]) -> Self {
        let place = Place::new();
        let mut command = place.touchstone();
        command.args(["proxy", "--api", "127.0.0.1:0"]).args(args);
        let spawned = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.expect("it starts");
        let stdout = child.stdout.take().expect("piped");
        let mut tool = Self {
            child: Some(child),
            stdout: BufReader::new(stdout),
            api: SocketAddr::from(([127, 0, 0, 1], 0)),
            _place: place,
        };
        let line = tool.line("api ");
        let url = line
            .split("http://")
            .nth(1)
            .expect("the address of the API");
        tool.api = url.trim().parse().expect("an address");
        tool
    }

    /// Reads its output until a line begins so.
    pub(crate) fn line(&mut self, begin: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self.stdout.read_line(&mut line).expect("its output");
            assert_ne!(count, 0, "it ended before `{begin}`");
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    /// Where a proxy of the command line listens.
    pub(crate) fn proxy_address(&mut self) -> SocketAddr {
        let line = self.line("proxy ");
        let mut words = line.split_whitespace();
        words.nth(2).expect("an address").parse().expect("one")
    }

    pub(crate) fn stop(mut self, signal: Signal) -> Ended {
        let mut child = self.child.take().expect("it runs");
        let began = std::time::Instant::now();
        kill(Pid::from_raw(child.id() as i32), signal).expect("it can be signalled");
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("its output");
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().expect("piped");
        pipe.read_to_string(&mut stderr).expect("its errors");
        Ended {
            code: child.wait().expect("it ends").code(),
            stdout,
            stderr,
            took: began.elapsed(),
        }
    }

    /// One request: its status and its body.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.http_as("a test", method, path, body)
    }

    fn http_as(&self, agent: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = connect(self.api);
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: proxy\r\nUser-Agent: {agent}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status");
        (status.parse().expect("a number"), body.to_owned())
    }

    /// One request that must succeed: its body as JSON.
    pub(crate) fn json(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let (status, body) = self.http(method, path, body);
        assert!((200..300).contains(&status), "{status}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("it connects");
    stream.set_nodelay(true).expect("set");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// A store that answers each read with what `answer` makes of it.
pub(crate) fn store(answer: fn(&[u8]) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, answer));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: fn(&[u8]) -> Vec<u8>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&answer(&buffer[..count])).is_err() {
            return;
        }
    }
}

pub(crate) fn echo() -> SocketAddr {
    store(|bytes| bytes.to_vec())
}

/// Sends four bytes; whether they came back.
pub(crate) fn ping(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut answer).is_ok()
}

#[test]
fn a_proxy_of_the_command_line_passes_and_a_signal_ends_it_cleanly() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let upstream = echo().to_string();
        let mut tool = Tool::start(&["--listen", "127.0.0.1:0", "--upstream", &upstream]);
        let address = tool.proxy_address();
        let mut stream = connect(address);
        assert!(ping(&mut stream));
        let ended = tool.stop(signal);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("ended"), "{ended:?}");
        assert_eq!(ended.stderr, "");
        let closed = stream.read(&mut [0; 1]).expect("an orderly end");
        assert_eq!(closed, 0, "the connection is closed");
        // The same port at once, although what we have closed still lingers in the kernel.
        let listen = address.to_string();
        let mut again = Tool::start(&["--listen", &listen, "--upstream", &upstream]);
        assert_eq!(again.proxy_address(), address);
    }
}

#[test]
fn what_is_wrong_is_refused_with_what_was_expected() {
    let place = Place::new();
    let file = place.path("proxies.json");
    fs::write(&file, r#"[{"name": "a", "upstream": "x"}, {"name": "b"}]"#).expect("a file");
    let file = file.to_str().expect("a path");
    let table: [(&[&str], &[&str]); 8] = [
        (&["--listen", "127.0.0.1:0"], &["--upstream"]),
        (&["--api", "8474"], &["--api", "8474", "host:port"]),
        (&["--api", "0.0.0.0:0"], &["--api", "--allow-remote"]),
        (
            &["--listen", ":0", "--upstream", "127.0.0.1:1"],
            &["proxy `proxy`", "--allow-remote"],
        ),
        (
            &["--listen", "127.0.0.1:0", "--upstream", "nowhere"],
            &["address nowhere", "host:port"],
        ),
        (&["--seed", "luck"], &["--seed", "0x-hexadecimal"]),
        (
            &["--config", "/no/such.json"],
            &["/no/such.json", "cannot read"],
        ),
        (
            &["--config", file],
            &["proxies.json", "upstream at proxy 2"],
        ),
    ];
    for (args, said) in table {
        let mut command = place.touchstone();
        command.arg("proxy");
        if !args.contains(&"--api") {
            command.args(["--api", "127.0.0.1:0"]);
        }
        let ended = run(command.args(args));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        for text in said {
            assert!(ended.stderr.contains(text), "no `{text}` in {ended:?}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_no_fault_of_whoever_asks() {
    let place = Place::new();
    let somebody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = somebody.local_addr().expect("its address").to_string();
    let other = Tool::start(&["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"]);
    let mut other = other;
    let ours = other.proxy_address().to_string();
    for args in [
        vec!["--api", &taken],
        vec![
            "--api",
            "127.0.0.1:0",
            "--listen",
            &taken,
            "--upstream",
            "127.0.0.1:1",
        ],
        vec![
            "--api",
            "127.0.0.1:0",
            "--listen",
            &ours,
            "--upstream",
            "127.0.0.1:1",
        ],
    ] {
        let ended = run(place.touchstone().arg("proxy").args(args));
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(
            ended.stderr.contains("taken") || ended.stderr.contains("in use"),
            "{ended:?}"
        );
    }
}

#[test]
fn a_browser_is_turned_away_and_an_unknown_path_is_not_found() {
    let tool = Tool::start(&[]);
    let (status, body) = tool.http_as("Mozilla/5.0", "GET", "/proxies", "");
    assert_eq!((status, body.as_str()), (403, "User agent not allowed\n"));
    assert_eq!(tool.http("GET", "/nothing", "").0, 404);
}
