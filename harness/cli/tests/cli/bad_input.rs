//! Whatever is wrong with what it is given: one clear error that names the place and the remedy, the
//! right exit code, in seconds.

use crate::support::{Place, fixture, run};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// Runs it, and demands the code and that the error says all of this.
fn assert_refused(command: &mut Command, code: i32, said: &[&str]) {
    let ended = run(command);
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    for text in said {
        assert!(ended.stderr.contains(text), "no `{text}` in {ended:#?}");
    }
    let panicked = ended.stderr.contains("panicked");
    assert!(!panicked, "{}", ended.stderr);
}

#[test]
fn a_manifest_that_is_wrong_is_refused_with_file_line_key_and_what_was_expected() {
    let table: [(&str, &[&str]); 6] = [
        (
            "unknown_key.toml",
            &[
                "unknown_key.toml:7: ",
                "deadlines",
                "health_notise_ms",
                "health_notice_ms",
            ],
        ),
        ("no_toml.toml", &["no_toml.toml:2: "]),
        (
            "missing_program.toml",
            &["bin/not-built", "build it", "subject.command"],
        ),
        (
            "missing_dir.toml",
            &["no/such/directory", "subject.working_dir"],
        ),
        (
            "missing_schema.toml",
            &["no-such.sql", "stores.postgres_schema"],
        ),
        (
            "there-is-none.toml",
            &["cannot read", "there-is-none.toml", "--subject FILE"],
        ),
    ];
    let place = Place::new();
    for (name, said) in table {
        assert_refused(&mut place.check_fixture(name), 2, said);
    }
}

#[test]
fn a_command_line_that_is_wrong_is_refused_with_what_was_expected() {
    let table: [(&[&str], &[&str]); 7] = [
        (&["--jobs", "0"], &["--jobs", "1..=64"]),
        (&["--seed", "luck"], &["--seed", "luck", "0x-hexadecimal"]),
        (&["--repeat", "0"], &["--repeat", "1..=10000"]),
        (&["--profile", "nightly"], &["merge", "release"]),
        (&["--env", "NOVALUE"], &["NAME=VALUE"]),
        (&["--provider", "podman"], &["auto", "docker", "process"]),
        (&["HLTH-2", "HTLH"], &["HTLH", "HLTH-2"]),
    ];
    for (args, said) in table {
        let place = Place::new();
        assert_refused(place.touchstone().arg("check").args(args), 2, said);
    }
}

#[test]
fn a_report_directory_that_cannot_be_written_is_refused_before_anything_starts() {
    let place = Place::new();
    fs::write(place.path("file"), "").expect("a file");
    let mut check = place.touchstone();
    check.args(["check", "--provider", "process", "--subject"]);
    check
        .arg(fixture("crashes.toml"))
        .arg("--report-dir")
        .arg(place.path("file"));
    assert_refused(
        &mut check,
        2,
        &["cannot make", "file/runs", "--report-dir DIR"],
    );
}

#[test]
fn missing_tools_are_named_all_at_once_with_what_installs_them() {
    let place = Place::new();
    // The subject's program has a slash, so that only the tools are missing.
    let manifest = "[subject]\nname = \"x\"\ncommand = [\"/bin/true\"]\nport = 8080\n";
    fs::write(place.path("manifest.toml"), manifest).expect("a manifest");
    let mut check = place.check();
    check.arg("--subject").arg(place.path("manifest.toml"));
    check
        .env("PATH", "")
        .env("TOUCHSTONE_POSTGRES_BIN", "/nowhere/bin");
    let said = [
        "`redis-server` not found (install: apt-get install redis-server)",
        "`/nowhere/bin` not found (correct or unset TOUCHSTONE_POSTGRES_BIN)",
        "`cp` not found (install: apt-get install coreutils",
    ];
    assert_refused(&mut check, 3, &said);
    let ended = run(place
        .touchstone()
        .args(["doctor", "--subject"])
        .arg(place.path("manifest.toml"))
        .env("PATH", "")
        .env("DOCKER_HOST", "unix:///nonexistent"));
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    for text in [
        "apt-get install redis-server",
        "no provider can work",
        "unix:///nonexistent",
    ] {
        assert!(ended.stdout.contains(text), "no `{text}` in {ended:#?}");
    }
}

#[test]
fn a_store_that_does_not_start_is_told_in_its_own_words_and_is_not_the_subjects_fault() {
    let place = Place::new();
    let script = place.path("redis-server");
    fs::write(
        &script,
        "#!/bin/sh\necho 'Fatal: no memory for jemalloc' >&2\nexit 1\n",
    )
    .expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
    let mut check = place.check_fixture("crashes.toml");
    check.env("TOUCHSTONE_REDIS_SERVER", &script);
    assert_refused(
        &mut check,
        3,
        &[
            "redis did not become ready",
            "Fatal: no memory for jemalloc",
            "touchstone doctor",
        ],
    );
    let mut check = place.check_fixture("crashes.toml");
    check.env("TOUCHSTONE_REDIS_SERVER", "/no/such/server");
    assert_refused(
        &mut check,
        3,
        &["/no/such/server", "TOUCHSTONE_REDIS_SERVER"],
    );
    for flag in ["--redis-server", "--second-redis-server"] {
        let mut check = place.check_fixture("crashes.toml");
        check.args([flag, "/no/such/other"]);
        let told = format!("`/no/such/other` not found (correct {flag})");
        assert_refused(&mut check, 3, &[&told]);
    }
}

#[test]
fn a_schema_that_postgres_refuses_is_told_with_what_postgres_says() {
    let place = Place::new();
    let mut check = place.check_fixture("broken_schema.toml");
    assert_refused(
        &mut check,
        2,
        &["broken.sql", "TABEL", "stores.postgres_schema"],
    );
}

#[test]
fn a_subject_that_crashes_at_once_fails_and_its_log_is_shown_once() {
    let place = Place::new();
    let ended = run(&mut place.check_fixture("crashes.toml"));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stdout.contains("exit code 7"), "{ended:#?}");
    // Once among the evidence; the summary of the verdicts does not repeat it.
    let shown = ended.stdout.matches("cannot find my configuration").count();
    assert_eq!(shown, 1, "{ended:#?}");
    let scenarios = place.record()["scenarios"].as_array().map_or(0, Vec::len);
    assert!(scenarios > 1, "the others are accounted for");
}

#[test]
fn a_subject_that_never_gets_ready_fails_in_about_its_deadline() {
    let place = Place::new();
    let ended = run(&mut place.check_fixture("never_ready.toml"));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    for text in [
        "the subject to become ready",
        "nobody listens",
        "its log is empty",
    ] {
        assert!(ended.stdout.contains(text), "no `{text}` in {ended:#?}");
    }
    // `sleep 60` would be waited for otherwise.
    assert!(ended.took < Duration::from_secs(40), "{:?}", ended.took);
}

#[test]
fn a_port_that_somebody_else_has_taken_is_told_in_the_subjects_own_words() {
    let place = Place::new();
    let somebody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = somebody.local_addr().expect("its address").port();
    let manifest = place.manifest_of_backend(|text| {
        let both = format!("PORT = \"{port}\"\nIGNORED = \"{{http.port}}\"");
        text.replace("PORT = \"{http.port}\"", &both)
    });
    let ended = run(place.check().arg("--subject").arg(manifest));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stdout.contains("in use"), "{ended:#?}");
}
