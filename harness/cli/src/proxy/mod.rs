//! `touchstone proxy`.

mod tls;

use crate::args::{ProxyArgs, WireArg};
use crate::error::{EnvironmentMissing, UsageError};
use crate::output;
use crate::plan;
use crate::signals::Signals;
use std::io::ErrorKind;
use std::path::Path;
use tokio::net::TcpListener;
use touchstone_core::{ExitCode, Seed};
use touchstone_remote::{ApiError, Proxies, ProxySpec, Reach, WireProtocol, serve};

/// Runs proxies until a signal ends it.
pub(crate) fn proxy(args: &ProxyArgs) -> anyhow::Result<ExitCode> {
    let specs = specs(args)?;
    let signals = Signals::listen()?;
    crate::runtime()?.block_on(run(args, specs, signals))
}

async fn run(
    args: &ProxyArgs,
    specs: Vec<ProxySpec>,
    signals: Signals,
) -> anyhow::Result<ExitCode> {
    let reach = if args.allow_remote {
        Reach::Remote
    } else {
        Reach::Loopback
    };
    let seed = plan::seed(args.seed);
    let listener = listen(reach, &args.api).await?;
    let mut proxies = Proxies::start(reach, seed)?;
    let mut told = told(&listener, seed)?;
    for spec in specs {
        let (name, upstream) = (spec.name.clone(), spec.upstream.clone());
        let address = proxies.create(spec).await.map_err(|error| {
            let what = format!("proxy `{name}`: {}", error.message);
            refused(&error, what)
        })?;
        told += &format!("proxy  {name}: {address} -> {upstream}\n");
    }
    output::print(&told)?;
    let mut first_signal = signals.hand_over();
    let until = async move {
        // An error is an end, too: nobody would tell of a signal any more.
        let _ = first_signal.wait_for(Option::is_some).await;
    };
    serve(listener, proxies, until).await?;
    output::print("ended; every connection is closed\n")?;
    Ok(ExitCode::Holds)
}

fn told(listener: &TcpListener, seed: Seed) -> std::io::Result<String> {
    let api = listener.local_addr()?;
    Ok(format!("seed   {seed}\napi    http://{api}\n"))
}

async fn listen(reach: Reach, text: &str) -> anyhow::Result<TcpListener> {
    let address = reach.listen_address(text).await;
    let address = address.map_err(|error| UsageError(format!("--api: {}", error.message)))?;
    Ok(TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => {
                EnvironmentMissing(format!("--api: the port of {address} is taken"))
            }
            _ => EnvironmentMissing(format!("--api: cannot listen on {address}: {error}")),
        })?)
}

fn refused(error: &ApiError, what: String) -> anyhow::Error {
    if error.status < 500 {
        UsageError(what).into()
    } else {
        EnvironmentMissing(what).into()
    }
}

/// What is to be opened: from the file, and from the command line.
fn specs(args: &ProxyArgs) -> anyhow::Result<Vec<ProxySpec>> {
    let mut specs = match &args.config {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    if let (Some(listen), Some(upstream)) = (&args.listen, &args.upstream) {
        specs.push(ProxySpec {
            name: args.name.clone(),
            listen: listen.clone(),
            upstream: upstream.clone(),
            enabled: None,
            protocol: match args.protocol {
                WireArg::Redis => WireProtocol::Redis,
                WireArg::Postgres => WireProtocol::Postgres,
                WireArg::Tcp => WireProtocol::Tcp,
            },
            tls: tls::of(args, upstream)?,
        });
    }
    Ok(specs)
}

fn read(path: &Path) -> anyhow::Result<Vec<ProxySpec>> {
    let wrong = |why: String| UsageError(format!("{}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| wrong(format!("cannot read: {error}")))?;
    Ok(Proxies::read_list(&text).map_err(|error| wrong(error.message))?)
}
