//! The sockets that an emulator listens at.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use crate::connection::{self, Door};
use crate::server::Server;

/// Bytes that the kernel holds for a client that does not read: they are paid for, and never seen by one
/// that leaves. On loopback, less costs throughput and more gains none.
pub(crate) const SEND_BUFFER: usize = 256 * 1024;

/// A listener whose connections inherit its buffer.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER)?;
    Ok(listener)
}

/// Takes connections for as long as the runtime lives.
pub(crate) async fn accept(server: Arc<Server>, listener: TcpListener, door: Door) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("cannot listen: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!("no TCP_NODELAY: {error}");
                }
                tokio::spawn(connection::serve(Arc::clone(&server), stream, door));
            }
            Err(error) => {
                // Most likely too many open files: others have to close first.
                tracing::warn!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
