//! `touchstone doctor`: what is here, what is missing, and what to do.

mod look;
mod sheet;

use crate::args::DoctorArgs;
use crate::output::{self, Paint};
use crate::provider;
use look::Docker;
use sheet::{Line, Sheet};
use touchstone_core::ExitCode;
use touchstone_engine::store::tools::Tools;
use touchstone_engine::subject::Manifest;

/// Looks at everything that a check needs, changes nothing, and says which provider would be taken.
pub(crate) fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::load(&args.subject.path);
    let overrides = provider::overrides(&args.images, manifest.as_ref().ok());
    let docker = crate::runtime()?.block_on(look::docker(&overrides));
    let process = Tools::find().map(drop).map_err(|error| error.to_string());
    let mut sheet = Sheet::new(Paint::for_stdout());
    sheet.section("Machine", look::machine());
    sheet.section("Provider process: child processes", look::tools());
    sheet.section("Provider docker: containers", docker.lines());
    sheet.section("Subject", look::subject(&args.subject.path, &manifest));
    sheet.section("Verdict", vec![auto(&docker, &process)]);
    output::print(&sheet.text())?;
    Ok(if docker.can_work() || process.is_ok() {
        ExitCode::Holds
    } else {
        ExitCode::Environment
    })
}

/// Which provider `--provider auto` takes, and why; the same order as in the choice itself.
fn auto(docker: &Docker, process: &Result<(), String>) -> Line {
    const NAME: &str = "auto";
    match (docker, process) {
        (Docker::Ready { .. }, _) => {
            Line::ok(NAME, "takes docker: an engine answers, images are here")
        }
        (Docker::MustPull { .. }, Ok(())) => Line::note(
            NAME,
            "takes docker if the images can be pulled, else process",
            "`make images` builds images without a registry; --provider process needs none",
        ),
        (Docker::MustPull { .. }, Err(_)) => Line::note(
            NAME,
            "takes docker if the images can be pulled; there is nothing else",
            "`make images` builds images without a registry",
        ),
        (Docker::Absent(why), Ok(())) => Line::ok(NAME, format!("takes process: {}", why.what)),
        (Docker::Absent(_), Err(_)) => Line::missing(
            NAME,
            "no provider can work",
            "mend one of the two above; `process` needs no more than two packages",
        ),
    }
}
