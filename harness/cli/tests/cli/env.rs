//! Stores that outlive the command that started them: they serve, nothing takes them away unasked, and all of them
//! goes when it is asked for.

use crate::support::{Ended, Place, assert_soon_gone, fixture, left_of, run, sweeping_alone};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

/// An environment of one test. Dropped, it is ended, whatever became of the test.
struct Named<'a> {
    place: &'a Place,
    name: String,
}

impl<'a> Named<'a> {
    fn new(place: &'a Place, what: &str) -> Self {
        let name = format!("test-{what}-{}", std::process::id());
        Self { place, name }
    }

    fn env(&self, command: &str, more: &[&str]) -> Ended {
        let mut env = self.place.touchstone();
        env.args(["env", command, "--name", &self.name]).args(more);
        run(&mut env)
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        self.env("down", &[]);
    }
}

/// The values of the two lines that `export` takes.
fn urls(ended: &Ended) -> [String; 2] {
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let [redis, postgres] = lines.as_slice() else {
        panic!("not two lines of environment: {ended:#?}");
    };
    let value = |line: &str, name: &str| {
        let value = line
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='));
        value
            .unwrap_or_else(|| panic!("no {name} in {ended:#?}"))
            .to_owned()
    };
    [value(redis, "REDIS_URL"), value(postgres, "DATABASE_URL")]
}

/// What a client of our own, which knows nothing but the URL, is answered.
fn ask_redis(url: &str, commands: &[&str]) -> Vec<String> {
    let rest = url.strip_prefix("redis://default:").expect(url);
    let (password, rest) = rest.split_once('@').expect(url);
    let (address, database) = rest.split_once('/').expect(url);
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    let login = [format!("AUTH {password}"), format!("SELECT {database}")];
    let mut answers = BufReader::new(stream.try_clone().expect("a reader")).lines();
    let mut answer = |command: &str| {
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .expect("sent");
        answers.next().expect("an answer").expect("text")
    };
    for command in login {
        assert_eq!(answer(&command), "+OK");
    }
    commands.iter().map(|command| answer(command)).collect()
}

fn count_users(url: &str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("a connection");
        tokio::spawn(connection);
        let row = client.query_one("SELECT count(*) FROM users", &[]).await;
        row.expect("the schema is there").get(0)
    })
}

/// From the start to the end, on one provider. `false` if the provider cannot be had.
#[expect(clippy::print_stderr, reason = "a skip is told")]
fn lives_until_it_is_asked_to_end(provider: &str) -> bool {
    let place = Place::new();
    let named = Named::new(&place, provider);
    let manifest = place.manifest_of_backend(|text| {
        text.replace(
            "redis_database = 0\npostgres_schema",
            "redis_database = 4\npostgres_schema",
        )
    });
    let manifest = manifest.display().to_string();
    let up = named.env("up", &["--provider", provider, "--subject", &manifest]);
    if provider == "docker" && up.code == Some(3) {
        eprintln!("skipped: {}", up.stderr);
        return false;
    }
    assert_eq!(up.code, Some(0), "{up:#?}");
    let [redis, postgres] = urls(&up);
    assert!(redis.ends_with("/4"), "the manifest's database: {redis}");
    assert_eq!(ask_redis(&redis, &["SET mine 1", "GET mine"])[0], "+OK");
    assert_eq!(count_users(&postgres), 0);

    let again = named.env("up", &["--subject", &manifest]);
    assert_eq!(urls(&again), [redis.clone(), postgres.clone()]);
    assert!(again.stderr.contains("runs already"), "{again:#?}");
    let other = ["docker", "process"].map(|other| ["--provider", other]);
    let other = other
        .iter()
        .find(|args| args[1] != provider)
        .expect("another");
    let refused = named.env("up", other);
    assert_eq!(refused.code, Some(2), "{refused:#?}");

    let status = named.env("status", &[]);
    assert_eq!(status.code, Some(0), "{status:#?}");
    assert_eq!(status.stdout.matches(", serves").count(), 2, "{status:#?}");
    let password = redis.split(['@', ':']).nth(2).expect("a password");
    assert!(
        !status.stdout.contains(password),
        "no password unasked: {status:#?}"
    );
    let json: Value = serde_json::from_str(&named.env("status", &["--json"]).stdout).expect("JSON");
    assert_eq!(json[0]["pairs"][0]["redis"]["url"], redis.as_str());
    assert_eq!(json[0]["provider"], provider);

    {
        let _alone = sweeping_alone();
        let swept = run(place.touchstone().arg("sweep"));
        assert!(swept.stdout.contains("kept on purpose"), "{swept:#?}");
    }
    assert_eq!(
        ask_redis(&redis, &["EXISTS mine"]),
        [":1"],
        "sweep has left it alone"
    );

    let down = named.env("down", &[]);
    assert_eq!(down.code, Some(0), "{down:#?}");
    assert!(down.stdout.contains("removed, with its data"), "{down:#?}");
    assert_soon_gone(&format!("env-{}", named.name), &place, SOON, "after down");
    let status = named.env("status", &[]);
    assert_eq!(status.code, Some(3), "{status:#?}");
    let down = named.env("down", &[]);
    assert_eq!(down.code, Some(0), "twice is fine: {down:#?}");
    true
}

#[test]
fn an_environment_of_child_processes_lives_until_it_is_asked_to_end() {
    assert!(lives_until_it_is_asked_to_end("process"));
}

#[test]
fn an_environment_of_containers_lives_until_it_is_asked_to_end() {
    lives_until_it_is_asked_to_end("docker");
}

#[test]
fn one_whose_servers_have_died_is_told_as_such_and_swept() {
    let place = Place::new();
    let named = Named::new(&place, "dead");
    let up = named.env("up", &["--provider", "process"]);
    assert_eq!(up.code, Some(0), "{up:#?}");
    let run_id = format!("env-{}", named.name);
    for pid in left_of(&run_id, &place).iter().filter_map(|left| {
        let rest = left.strip_prefix("process ")?;
        rest.split(':').next()?.parse().ok()
    }) {
        // A session of Postgres may have gone with its postmaster.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let began = Instant::now();
    while left_of(&run_id, &place).len() > 1 {
        assert!(began.elapsed() < SOON, "{:?}", left_of(&run_id, &place));
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = named.env("status", &[]);
    assert_eq!(status.code, Some(3), "{status:#?}");
    assert_eq!(
        status.stdout.matches("DOES NOT SERVE").count(),
        2,
        "{status:#?}"
    );
    let _alone = sweeping_alone();
    let swept = run(place.touchstone().arg("sweep"));
    assert!(swept.stdout.contains("nothing of it runs"), "{swept:#?}");
    assert_soon_gone(&run_id, &place, SOON, "after sweep");
}

#[test]
fn what_does_not_come_up_leaves_nothing() {
    let place = Place::new();
    let named = Named::new(&place, "broken");
    let schema = fixture("broken_schema.toml").display().to_string();
    let up = named.env("up", &["--provider", "process", "--subject", &schema]);
    assert_eq!(up.code, Some(2), "{up:#?}");
    assert!(up.stderr.contains("TABEL"), "{up:#?}");
    assert_eq!(up.stdout, "");
    let run_id = format!("env-{}", named.name);
    assert_soon_gone(&run_id, &place, SOON, "after a failed start");

    let mut up = place.touchstone();
    up.args(["env", "up", "--provider", "process", "--name", &named.name]);
    let mut child = up
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let began = Instant::now();
    while left_of(&run_id, &place).len() < 3 && began.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = i32::try_from(child.id()).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it can be signalled");
    let code = child.wait().expect("it ends").code();
    // On a machine that is fast or slow enough it was up before the signal came.
    if code == Some(130) {
        assert_soon_gone(&run_id, &place, SOON, "after an interruption");
    } else {
        assert_eq!(code, Some(0));
    }
}

#[test]
fn one_that_somebody_else_is_starting_is_left_to_them() {
    let place = Place::new();
    let named = Named::new(&place, "busy");
    let directory = place.path(&format!("touchstone-env-{}", named.name));
    std::fs::create_dir(&directory).expect("a directory");
    let up = named.env("up", &["--provider", "process"]);
    assert_eq!(up.code, Some(2), "{up:#?}");
    assert!(up.stderr.contains("is being started"), "{up:#?}");
    assert!(directory.exists());
}

#[test]
fn a_name_that_is_none_is_refused() {
    let place = Place::new();
    for name in ["", "a/b", "..", &"x".repeat(33)] {
        let mut up = place.touchstone();
        let ended = run(up.args(["env", "up", "--name", name]));
        assert_eq!(ended.code, Some(2), "{name}: {ended:#?}");
    }
}

#[test]
fn the_stores_of_a_failure_are_kept_if_that_is_asked_for_and_those_of_a_pass_never() {
    let place = Place::new();
    let manifest = place.manifest_of_backend(|text| text);
    let mut check = place.check();
    check
        .args(["KV-2", "KV-6", "--keep-on-fail", "--subject"])
        .arg(&manifest);
    let ended = run(check.args(["--env", "BACKEND_DEFECT=expire-always-one"]));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let record = place.record();
    let run_id = record["run_id"].as_str().expect("the run's id").to_owned();
    let named = Named {
        place: &place,
        name: run_id.clone(),
    };
    for text in [
        "kept: the stores of KV-2-1, with their data".to_owned(),
        format!("touchstone env down --name {run_id}"),
    ] {
        assert!(ended.stdout.contains(&text), "no `{text}` in {ended:#?}");
    }
    let export = named.env("status", &["--export"]);
    assert_eq!(
        export.code,
        Some(0),
        "one pair: KV-6 has passed: {export:#?}"
    );
    let [redis, postgres] = urls(&export);
    let left = ask_redis(&redis, &["DBSIZE"]);
    assert_ne!(left, [":0"], "the data of the scenario is there");
    assert_eq!(count_users(&postgres), 0);
    let password = redis.split(['@', ':']).nth(2).expect("a password");
    let folder = place.path("reports/runs/latest");
    for name in ["record.json", "summary.md", "junit.xml"] {
        let text = std::fs::read_to_string(folder.join(name)).expect(name);
        assert!(!text.contains(password), "{name}");
    }
    assert!(!ended.stdout.contains(password), "{ended:#?}");
    let down = named.env("down", &[]);
    assert_eq!(down.code, Some(0), "{down:#?}");
    assert_soon_gone(&run_id, &place, SOON, "after down");
}
