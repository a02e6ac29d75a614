//! Starting the binary, and looking for what it should not have left.

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Generous: two busy cores. What is expected in seconds is asserted with this much room.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A place for one test's reports and temporary files.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // The stores may run as another user, who must get through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary, to be given a subcommand: reports and temporary files go here.
    pub(crate) fn touchstone(&self) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_touchstone"));
        let target = binary.ancestors().nth(2).expect("target/debug/touchstone");
        let mut command = Command::new(binary);
        command
            .current_dir(repository())
            .env("CARGO_TARGET_DIR", target)
            .env("TMPDIR", self.dir.path())
            .stdin(Stdio::null());
        for inherited in [
            "TOUCHSTONE_SUBJECT",
            "TOUCHSTONE_PROVIDER",
            "GITHUB_STEP_SUMMARY",
            "TOUCHSTONE_LOG",
        ] {
            command.env_remove(inherited);
        }
        command
    }

    /// `check` on child processes, with this test's reports.
    pub(crate) fn check(&self) -> Command {
        let mut command = self.touchstone();
        command
            .args(["check", "--provider", "process", "--report-dir"])
            .arg(self.path("reports"));
        command
    }

    /// `check` of a subject from `tests/fixtures`.
    pub(crate) fn check_fixture(&self, name: &str) -> Command {
        let mut command = self.check();
        command.arg("--subject").arg(fixture(name));
        command
    }

    /// A few outage criteria of the reference backend, told step by step: long enough to be broken
    /// off, and not to be relied on to pass on a busy machine.
    pub(crate) fn check_backend(&self) -> Command {
        self.check_criteria(&["HLTH-2", "HLTH-3", "HLTH-4"])
    }

    /// Criteria that have nothing to do with time, and pass.
    pub(crate) fn check_what_passes(&self) -> Command {
        self.check_criteria(&["KV-2", "KV-6"])
    }

    /// Criteria that put faults in force, of the proxy and of a server, at once and not after something was seen.
    pub(crate) fn check_with_faults(&self) -> Command {
        self.check_criteria(&["CONN-3", "RECON-5", "SHUT-2"])
    }

    fn check_criteria(&self, criteria: &[&str]) -> Command {
        let manifest = self.manifest_of_backend(|text| text);
        let mut command = self.check();
        command.args(criteria).args(["--verbose", "--subject"]);
        command.arg(manifest);
        command
    }

    /// The reference manifest, changed, with deadlines that a busy machine keeps: how fast the backend
    /// is, is not what is tested here.
    pub(crate) fn manifest_of_backend(&self, change: impl Fn(String) -> String) -> PathBuf {
        require_backend();
        let root = repository();
        let reference = root.join("fixtures/subjects/reference.toml");
        let text = fs::read_to_string(reference).expect("the reference manifest");
        let root = root.display().to_string();
        let text = text
            .replace(
                "working_dir = \"../..\"",
                &format!("working_dir = {root:?}"),
            )
            .replace("\"../postgres/", &format!("\"{root}/fixtures/postgres/"));
        let names = ["ready_ms", "recover_ms", "answer_ms"];
        let deadlines = names.map(|name| format!("{name} = 20000\n")).concat();
        let reasons = names.map(|name| format!("{name} = \"a test\"\n")).concat();
        let path = self.path("manifest.toml");
        let more = format!("\n[deadlines]\n{deadlines}[policy.accept_looser]\n{reasons}");
        fs::write(&path, change(text) + &more).expect("a manifest");
        path
    }

    /// The newest run's record, which is as its schema says.
    pub(crate) fn record(&self) -> serde_json::Value {
        let path = self.path("reports/runs/latest/record.json");
        let text = fs::read_to_string(&path).expect("the run has a record");
        let record = serde_json::from_str(&text).expect("the record is JSON");
        let schema = fs::read_to_string(repository().join("docs/record.schema.json"));
        let validator = validator(&schema.expect("the schema"));
        let errors = validator.iter_errors(&record);
        let problems: Vec<String> = errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{problems:#?}");
        record
    }
}

pub(crate) fn validator(schema: &str) -> jsonschema::Validator {
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

pub(crate) fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .join("../..")
        .canonicalize()
        .expect("the repository")
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The reference backend is another package, which Cargo does not build for our tests.
fn require_backend() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let ours = Path::new(env!("CARGO_BIN_EXE_touchstone"));
        if ours.with_file_name("reference-backend").is_file() {
            return;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "reference-backend"]);
        let built = cargo.current_dir(repository()).status().expect("cargo");
        assert!(built.success(), "the reference backend does not build");
    });
}

/// What a finished process came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let began = Instant::now();
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it starts");
    Ended {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        took: began.elapsed(),
    }
}

/// A `check` under way.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: BufReader<ChildStdout>,
    seen: String,
    /// Empty until the line that tells it was read.
    pub(crate) run_id: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut running = Self {
            child,
            stdout,
            seen: String::new(),
            run_id: String::new(),
        };
        let line = running.read_until("  run ");
        running.run_id = line
            .split_whitespace()
            .last()
            .unwrap_or_default()
            .to_owned();
        running
    }

    /// Reads its output until a line contains the text; returns the line.
    pub(crate) fn read_until(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("its output");
            self.seen += &line;
            assert!(read > 0, "it ended before `{text}`:\n{}", self.seen);
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, which: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), which).expect("it can be signalled");
    }

    /// Reads all that is left and waits for the end.
    pub(crate) fn finish(mut self) -> Ended {
        let began = Instant::now();
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).expect("its output");
        self.seen += &String::from_utf8_lossy(&rest);
        let output = self.child.wait_with_output().expect("it ends");
        Ended {
            code: output.status.code(),
            stdout: self.seen,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: began.elapsed(),
        }
    }
}

/// Everything that mentions a run: processes by command line, environment or working directory, and
/// private directories. Its own code on purpose, not that of `sweep`.
pub(crate) fn left_of(run_id: &str, place: &Place) -> Vec<String> {
    assert!(!run_id.is_empty(), "the run's id is known");
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != std::process::id()) else {
            continue;
        };
        let read = |file| fs::read(entry.path().join(file)).unwrap_or_default();
        let directory = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let texts = [read("cmdline"), read("environ")].concat();
        let texts = String::from_utf8_lossy(&texts).replace('\0', " ");
        if texts.contains(run_id) || directory.to_string_lossy().contains(run_id) {
            let shown: String = texts.chars().take(80).collect();
            left.push(format!("process {pid}: {shown}"));
        }
    }
    for base in [Path::new("/dev/shm"), Path::new("/tmp"), place.dir.path()] {
        let directory = base.join(format!("touchstone-{run_id}"));
        if directory.exists() {
            left.push(format!("directory {}", directory.display()));
        }
    }
    left
}

/// Waits until nothing is left of a run.
pub(crate) fn assert_soon_gone(run_id: &str, place: &Place, deadline: Duration, when: &str) {
    let began = Instant::now();
    loop {
        let left = left_of(run_id, place);
        if left.is_empty() {
            return;
        }
        assert!(
            began.elapsed() < deadline,
            "{when}: left after {deadline:?}: {left:#?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `sweep` looks at the whole machine: a test that leaves something for it on purpose must not be
/// swept by another one.
pub(crate) fn sweeping_alone() -> Flock<File> {
    let path =
        std::env::temp_dir().join(format!("touchstone-tests-{}.lock", nix::unistd::getuid()));
    let open = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = open.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .expect("the lock")
}
