//! A front: TLS before an emulated bed, by certificates that were made for one test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bedfs_emulator::{Emulator, Options};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::harness::fast;

/// A server of TLS. It serves until it is dropped.
pub(crate) struct Front {
    /// What vouches for it, in PEM.
    pub(crate) ca_file: PathBuf,
    connections: Arc<AtomicUsize>,
    _runtime: Runtime,
}

/// A certificate for `name`, and its key, vouched for by an authority that is written into `ca_file`.
fn certified(name: &str, ca_file: &Path) -> ServerConfig {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    fs::write(ca_file, authority.pem()).expect("written");
    let (params, own) = (CertificateParams::new([name.to_owned()]), key());
    let leaf = params.expect("a name").signed_by(&own, &authority).expect("a certificate");
    let own = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], own)
        .expect("a pair")
}

impl Front {
    /// An emulated bed whose API, storage and links are all at `https://localhost`, where a certificate
    /// is shown that is of the host `name`. What vouches for it is written into `dir`.
    pub(crate) fn before_a_bed(name: &str, dir: &Path) -> (Self, Emulator) {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let public = Some(format!("https://localhost:{port}"));
        let emulator = Emulator::start(Options { public, ..fast() }).expect("the emulator starts");
        let ca_file = dir.join("ca.pem");
        let acceptor = TlsAcceptor::from(Arc::new(certified(name, &ca_file)));
        let connections = Arc::new(AtomicUsize::new(0));
        runtime.spawn(serve(listener, acceptor, emulator.address(), connections.clone()));
        (Self { ca_file, connections, _runtime: runtime }, emulator)
    }

    /// Connections on which TLS came about.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    listener: TcpListener, acceptor: TlsAcceptor, bed: SocketAddr, count: Arc<AtomicUsize>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, count) = (acceptor.clone(), count.clone());
        tokio::spawn(async move {
            // Who does not trust the certificate breaks off here.
            let Ok(mut shown) = acceptor.accept(stream).await else { return };
            count.fetch_add(1, Ordering::Relaxed);
            let Ok(mut hidden) = TcpStream::connect(bed).await else { return };
            let _broken_off = copy_bidirectional(&mut shown, &mut hidden).await;
        });
    }
}
