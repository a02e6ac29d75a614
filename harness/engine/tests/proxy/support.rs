//! What the tests stand on: a proxy on a thread of its own, and stores made of plain sockets.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::time::{Duration, Instant};
use touchstone_core::Seed;
use touchstone_engine::proxy::{Protocol, Proxy, ProxyConfig, ProxyThread};

/// Beyond it a test is stuck. Nothing that passes comes near it, also on busy cores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// How long a test watches for something that must not happen.
pub(crate) const WATCH: Duration = Duration::from_millis(150);

/// A proxy and the thread it lives on.
pub(crate) struct Rig {
    // Dropped before its thread.
    proxy: Proxy,
    pub(crate) thread: ProxyThread,
}

impl Deref for Rig {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.proxy
    }
}

impl Rig {
    pub(crate) async fn without_upstream() -> Self {
        Self::speaking(Protocol::Opaque).await
    }

    pub(crate) async fn decoding(protocol: Protocol, upstream: SocketAddr) -> Self {
        let rig = Self::speaking(protocol).await;
        rig.set_upstream(Some(upstream)).await.unwrap();
        rig
    }

    async fn speaking(protocol: Protocol) -> Self {
        let thread = ProxyThread::spawn("test-proxy").unwrap();
        let config = ProxyConfig {
            name: "test".to_owned(),
            seed: Seed(7),
            protocol,
            listen: None,
        };
        let proxy = thread.open(config).await.unwrap();
        Self { proxy, thread }
    }

    pub(crate) async fn toward(upstream: SocketAddr) -> Self {
        let rig = Self::without_upstream().await;
        rig.set_upstream(Some(upstream)).await.unwrap();
        rig
    }

    /// A connection that has a deadline on everything, so that a test fails rather than hangs.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address()).unwrap()
    }
}

pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    // They fail on a connection that was reset meanwhile, which is for the caller to find out.
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(DEADLINE));
    let _ = stream.set_write_timeout(Some(DEADLINE));
    Ok(stream)
}

/// A runtime for the test's own calls; the sockets of the tests block.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// Listens on loopback and hands each connection to a thread.
pub(crate) fn store(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A store that sends back what it gets, and ends when its peer does.
pub(crate) fn echo_store() -> SocketAddr {
    store(|mut stream| {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 || stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    })
}

/// A listener for a test that plays the store itself.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Takes the connection that the proxy opens for a subject.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends four bytes and waits for them to come back.
pub(crate) fn ping(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"ping")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

/// What the next read says: `Ok(0)` is an orderly end.
pub(crate) fn read_outcome(stream: &mut TcpStream) -> Result<usize, io::ErrorKind> {
    stream.read(&mut [0; 64]).map_err(|error| error.kind())
}

/// Connects and reads. A reset may come so early that connecting itself reports it.
pub(crate) fn connect_and_read(address: SocketAddr) -> Result<usize, io::ErrorKind> {
    let mut stream = connect(address).map_err(|error| error.kind())?;
    read_outcome(&mut stream)
}

/// Writes until all buffers on the way to a peer that does not read are full; how many bytes.
pub(crate) fn fill(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(WATCH)).unwrap();
    let mut written = 0;
    let error = loop {
        assert!(written < 256 * 1024 * 1024, "nothing holds the source up");
        match stream.write(&[7; 64 * 1024]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    written
}

/// Makes the drop of the stream send a reset.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Says that nothing more will be sent.
pub(crate) fn half_close(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Asks until the answer is as wanted; says on timeout what was last seen.
pub(crate) async fn eventually<T: Debug>(
    mut ask: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let seen = ask().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "not in time; last seen: {seen:#?}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until that many bytes of subjects have been read.
pub(crate) async fn until_passed(rig: &Rig, bytes: u64) {
    let began = Instant::now();
    while rig.counters().await.unwrap().bytes_up < bytes {
        assert!(began.elapsed() < DEADLINE, "the bytes never came");
        tokio::task::yield_now().await;
    }
}
