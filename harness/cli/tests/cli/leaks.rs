//! A harness that is killed leaves nothing for longer than seconds; `sweep` does the rest.

use crate::support::{Place, Running, assert_soon_gone, left_of, run, sweeping_alone};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::{Duration, Instant};

/// What the product promises after `kill -9`.
const GONE_DEADLINE: Duration = Duration::from_secs(10);

const MOMENTS: [(&str, u64); 6] = [
    ("seed", 0),
    ("seed", 60),
    ("seed", 180),
    ("start the stores", 30),
    ("FAULT", 0),
    ("tear down", 0),
];

const NOTHING_LEFT: &str = "Nothing is left of dead runs.";

#[test]
fn a_killed_check_leaves_nothing_ten_seconds_later_at_whatever_moment() {
    for (line, later_ms) in MOMENTS {
        let place = Place::new();
        // Not all three at once: at the last moment there is one that has not begun.
        let mut check = Running::start(place.check_backend().args(["--jobs", "2"]));
        check.read_until(line);
        std::thread::sleep(Duration::from_millis(later_ms));
        check.signal(Signal::SIGKILL);
        let run_id = check.run_id.clone();
        let ended = check.finish();
        assert_eq!(ended.code, None, "it was killed in time: {ended:#?}");
        let when = format!("killed {later_ms} ms after `{line}`");
        assert_soon_gone(&run_id, &place, GONE_DEADLINE, &when);
        let _alone = sweeping_alone();
        let swept = run(place.touchstone().arg("sweep"));
        assert_eq!(swept.code, Some(0), "{when}: {swept:#?}");
        assert!(swept.stdout.contains(NOTHING_LEFT), "{when}: {swept:#?}");
        assert!(!swept.stdout.contains(&run_id), "{when}: {swept:#?}");
    }
}

/// Kills a check and its reaper while a store is down and the other runs. Returns the run's id.
fn orphan(place: &Place) -> String {
    let mut check = Running::start(&mut place.check_backend());
    check.read_until("FAULT");
    let run_id = check.run_id.clone();
    check.signal(Signal::SIGSTOP); // It must not finish before its reaper is found.
    let reaper = reaper_of(&run_id);
    kill(Pid::from_raw(reaper), Signal::SIGKILL).expect("the reaper can be killed");
    check.signal(Signal::SIGKILL);
    check.finish();
    let left = left_of(&run_id, place);
    let has = |what: &str| left.iter().any(|thing| thing.starts_with(what));
    assert!(has("process") && has("directory"), "{left:#?}");
    run_id
}

fn reaper_of(run_id: &str) -> i32 {
    let began = Instant::now();
    loop {
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let cmdline = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let cmdline = String::from_utf8_lossy(&cmdline);
            let mut words = cmdline
                .split('\0')
                .skip_while(|word| *word != "touchstone-reaper");
            if words.nth(1) == Some(run_id) {
                let name = entry.file_name();
                return name
                    .to_str()
                    .and_then(|pid| pid.parse().ok())
                    .expect("a pid");
            }
        }
        assert!(began.elapsed() < GONE_DEADLINE, "no reaper of {run_id}");
    }
}

#[test]
fn what_a_killed_reaper_could_not_do_the_sweep_does_and_tells() {
    let place = Place::new();
    let _alone = sweeping_alone();
    let run_id = orphan(&place);
    let before = left_of(&run_id, &place).len();

    let dry = run(place.touchstone().args(["sweep", "--dry-run"]));
    assert_eq!(dry.code, Some(0), "{dry:#?}");
    let told = format!("{run_id}: would remove");
    assert!(dry.stdout.contains(&told), "{dry:#?}");
    assert_eq!(
        left_of(&run_id, &place).len(),
        before,
        "a dry run removes nothing"
    );

    let swept = run(place.touchstone().arg("sweep"));
    assert_eq!(swept.code, Some(0), "{swept:#?}");
    let directory = format!(
        "directory {}",
        place.path(&format!("touchstone-{run_id}")).display()
    );
    for text in [
        &format!("{run_id}: removing"),
        "(postgres)",
        &directory,
        NOTHING_LEFT,
    ] {
        assert!(swept.stdout.contains(text), "no `{text}` in {swept:#?}");
    }
    assert_eq!(left_of(&run_id, &place), [""; 0]);
}

#[test]
fn a_check_silently_sweeps_what_dead_runs_left() {
    let place = Place::new();
    let _alone = sweeping_alone();
    let run_id = orphan(&place);
    let check = run(&mut place.check_fixture("crashes.toml"));
    assert_eq!(check.code, Some(1), "{check:#?}");
    assert_eq!(left_of(&run_id, &place), [""; 0]);
    assert!(
        !check.stdout.contains(&run_id) && check.stderr.is_empty(),
        "{check:#?}"
    );
}

#[test]
fn a_living_run_is_listed_and_left_alone() {
    let place = Place::new();
    // First: waiting for it takes longer than the run.
    let alone = sweeping_alone();
    let mut check = Running::start(&mut place.check_backend());
    check.read_until("start the stores");
    check.signal(Signal::SIGSTOP); // It lives, but does not end while we sweep.
    let swept = run(place.touchstone().arg("sweep"));
    check.signal(Signal::SIGCONT);
    drop(alone);
    let in_use = format!("{}: in use by pid {}", check.run_id, check.child.id());
    assert!(swept.stdout.contains(&in_use), "{swept:#?}");
    assert_eq!(swept.code, Some(0), "{swept:#?}");
    let ended = check.finish();
    // It may well be unknown: we have frozen the witness. But nothing was taken from it.
    assert!(matches!(ended.code, Some(0 | 1 | 4)), "{ended:#?}");
    assert!(!ended.stdout.contains("cannot"), "{ended:#?}");
}

#[test]
fn what_names_no_owner_is_left_to_whoever_asks() {
    let place = Place::new();
    let _alone = sweeping_alone();
    let directory = place.path("touchstone-somebodys-notes");
    fs::create_dir(&directory).expect("a directory");
    let swept = run(place.touchstone().arg("sweep"));
    assert!(
        swept.stdout.contains("somebodys-notes: left alone"),
        "{swept:#?}"
    );
    assert!(directory.exists());
}
