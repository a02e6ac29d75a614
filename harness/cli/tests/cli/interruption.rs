//! A signal at any moment: a teardown, exit code 130, a record that says so, nothing left.

use crate::support::{PATIENCE, Place, Running, left_of, run};
use nix::sys::signal::Signal;
use std::time::Duration;

/// When to interrupt: after the line that contains this text, and a little later.
const MOMENTS: [(&str, u64, Signal); 6] = [
    ("seed", 0, Signal::SIGINT),
    ("seed", 150, Signal::SIGTERM),
    ("start the stores", 0, Signal::SIGHUP),
    ("start the subject", 5, Signal::SIGINT),
    ("FAULT", 0, Signal::SIGTERM),
    ("tear down", 0, Signal::SIGINT),
];

#[test]
fn an_interrupted_check_leaves_nothing_and_says_so_at_whatever_moment() {
    for (line, later_ms, signal) in MOMENTS {
        let place = Place::new();
        // One after the other: at the last moment there are others that have not begun.
        let mut check = Running::start(place.check_backend().args(["--jobs", "1"]));
        check.read_until(line);
        std::thread::sleep(Duration::from_millis(later_ms));
        check.signal(signal);
        let run_id = check.run_id.clone();
        let ended = check.finish();
        let when = format!("{signal} {later_ms} ms after `{line}`");
        assert_eq!(ended.code, Some(130), "{when}: {ended:#?}");
        assert_eq!(left_of(&run_id, &place), [""; 0], "{when}");
        assert!(ended.took < PATIENCE, "{when}: {:?}", ended.took);
        let said = format!("{signal}: tearing down");
        assert!(ended.stdout.contains(&said), "{when}: {ended:#?}");
        let record = place.record();
        assert_eq!(record["interrupted"], true, "{when}");
        assert_eq!(
            record["scenarios"].as_array().map(Vec::len),
            Some(3),
            "{when}"
        );
        let noted = record["warnings"].to_string();
        assert!(
            !noted.contains("did not end"),
            "{when}: the record is whole: {noted}"
        );
    }
}

#[test]
fn a_second_ctrl_c_does_not_break_the_teardown() {
    let place = Place::new();
    let mut check = Running::start(&mut place.check_backend());
    check.read_until("FAULT");
    // It must not be reaped while it is signalled, which `finish` alone does.
    for _ in 0..20 {
        check.signal(Signal::SIGINT);
        check.signal(Signal::SIGTERM);
        std::thread::sleep(Duration::from_millis(5));
    }
    let run_id = check.run_id.clone();
    let ended = check.finish();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert_eq!(left_of(&run_id, &place), [""; 0]);
}

#[test]
fn a_hang_up_that_nohup_has_silenced_stays_silent() {
    let place = Place::new();
    let check = place.check_what_passes();
    let mut nohup = std::process::Command::new("nohup");
    nohup.arg(check.get_program()).args(check.get_args());
    for (name, value) in check.get_envs() {
        match value {
            Some(value) => nohup.env(name, value),
            None => nohup.env_remove(name),
        };
    }
    nohup.current_dir(check.get_current_dir().expect("set"));
    let mut check = Running::start(&mut nohup);
    check.read_until("start the subject");
    check.signal(Signal::SIGHUP);
    let ended = check.finish();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[test]
fn a_signal_before_anything_was_started_ends_it_at_once() {
    // Nothing here waits for the moment: an engine that never answers makes it long.
    let place = Place::new();
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = deaf.local_addr().expect("its address");
    let mut check = place.touchstone();
    check
        .args(["check", "--provider", "docker", "--subject"])
        .arg(crate::support::fixture("crashes.toml"))
        .env("DOCKER_HOST", format!("tcp://{address}"));
    let mut child = check
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    // Once it has connected, it listens for signals.
    let _connection = deaf.accept().expect("it connects");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, Signal::SIGTERM).expect("it can be signalled");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    drop(run(place.touchstone().arg("--version")));
}
