//! A request that breaks off in the middle of its body, with secrets in it, in its headers and in its query.

use super::canaries::Canaries;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::Stop;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::Manifest;

/// Whatever is answered; a service that waits for more of the body is left.
const ANSWER_LONGEST: Duration = Duration::from_millis(500);

/// Sends it by hand, as no client would.
pub(super) async fn malformed(
    canaries: &Canaries<'_>,
    instance: &Instance,
    name: OperationName,
    manifest: &Manifest,
) -> Result<(), Stop> {
    let request = &manifest.operations[&name].request;
    let values = canaries.values_of(name, "malformed", &BTreeMap::new());
    let path = request.path.fill(|part| values.get(part).cloned());
    let secret = |what: &str| canaries.plant(&format!("{what} of a bad `{}`", name.key()));
    // It is no JSON from its very end on, and no number and no form either.
    let body = format!("{{\"value\": \"{}\", \"code\": ", secret("the body"));
    let head = format!(
        "{} {path}?secret={} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nCookie: session={}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        request.method,
        secret("the query"),
        instance.address(),
        secret("a token in the head"),
        secret("a cookie"),
        body.len(),
    );
    let exchange = async {
        let mut stream = TcpStream::connect(instance.address()).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await
    };
    // Neither an answer nor its absence is judged here.
    let _ = tokio::time::timeout(ANSWER_LONGEST, exchange).await;
    Ok(())
}
