//! One of the two sockets of a connection, with or without TLS around it.

use super::{Tls, TlsClient};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::Accept;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// One of the two sockets of a connection. The large ones are boxed: nearly all are plain.
pub(crate) enum End {
    Plain(TcpStream),
    /// The subject and we have not agreed on keys yet.
    Greeting(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl End {
    /// The subject's, as it was accepted.
    pub(crate) fn of_subject(stream: TcpStream, tls: &Tls) -> Self {
        match &tls.subject {
            None => End::Plain(stream),
            Some(server) => {
                let acceptor = TlsAcceptor::from(server.0.clone());
                End::Greeting(Box::new(acceptor.accept(stream)))
            }
        }
    }

    /// The store's, once it is connected.
    pub(crate) async fn of_store(stream: TcpStream, tls: Option<TlsClient>) -> io::Result<Self> {
        let Some(client) = tls else {
            return Ok(End::Plain(stream));
        };
        let connector = TlsConnector::from(client.config);
        let stream = connector.connect(client.name, stream).await?;
        Ok(End::Tls(Box::new(stream.into())))
    }

    /// Goes on with the greeting; ready when there is none to go on with. After an error only to be dropped.
    pub(crate) fn poll_greeting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let End::Greeting(accept) = self {
            let stream = ready!(Pin::new(&mut **accept).poll(cx))?;
            *self = End::Tls(Box::new(stream.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// What lies below the TLS. `None` for a moment, while a greeting fails.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match self {
            End::Plain(stream) => Some(stream),
            End::Greeting(accept) => accept.get_ref(),
            End::Tls(stream) => Some(stream.get_ref().0),
        }
    }

    /// The same, to read what no TLS is to see.
    pub(crate) fn socket_mut(&mut self) -> Option<&mut TcpStream> {
        match self {
            End::Plain(stream) => Some(stream),
            End::Greeting(accept) => accept.get_mut(),
            End::Tls(stream) => Some(stream.get_mut().0),
        }
    }

    /// Says that nothing more follows, as a server does that closes; an end without it looks like an attack.
    pub(crate) fn say_goodbye(&mut self) {
        let End::Tls(stream) = self else { return };
        stream.get_mut().1.send_close_notify();
        // What the socket does not take now is lost with it, as it would be with a server's.
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        let _ = Pin::new(&mut **stream).poll_flush(&mut nobody);
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            End::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            // Read by the greeting alone.
            End::Greeting(_) => Poll::Pending,
            End::Tls(stream) => match ready!(Pin::new(&mut **stream).poll_read(cx, buffer)) {
                // A FIN without the goodbye of TLS: what the wire shows is a FIN.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                read => Poll::Ready(read),
            },
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            End::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            End::Greeting(_) => Poll::Pending,
            End::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            End::Plain(_) | End::Greeting(_) => Poll::Ready(Ok(())),
            End::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            End::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            End::Greeting(_) => Poll::Ready(Ok(())),
            End::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
