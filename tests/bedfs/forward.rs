//! A forward proxy as networks have them: it takes requests for other hosts and tunnels to them, by HTTP or
//! by SOCKS5, and remembers all that it could see.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// The proxy. It serves until it is dropped.
pub(crate) struct Forward {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    _runtime: Runtime,
}

/// What came by.
#[derive(Default)]
struct Seen {
    /// The beginning of each request to the proxy, up to its body.
    heads: Vec<String>,
    /// All bytes that clients sent.
    bytes: Vec<u8>,
}

impl Forward {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = shared.clone();
                // What is broken off is the client's to notice.
                tokio::spawn(async move { forward(client, seen).await.ok() });
            }
        });
        Self { port, seen, _runtime: runtime }
    }

    /// What a variable of the environment names it by.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same as a proxy of SOCKS5.
    pub(crate) fn socks(&self) -> String {
        format!("socks5://127.0.0.1:{}", self.port)
    }

    /// The beginning of each request.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").heads.clone()
    }

    /// All bytes that clients sent.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.seen.lock().expect("no panic").bytes.clone()
    }
}

/// One connection of a client: a tunnel, or one request.
async fn forward(mut client: TcpStream, seen: Arc<Mutex<Seen>>) -> std::io::Result<()> {
    let mut begun = Vec::new();
    let end = loop {
        let at = begun.windows(4).position(|part| part == b"\r\n\r\n");
        if let Some(at) = at {
            break at + 4;
        }
        if client.read_buf(&mut begun).await? == 0 {
            return Ok(());
        }
        if begun[0] == 5 {
            return socks(client, begun, seen).await;
        }
    };
    let head = String::from_utf8_lossy(&begun[..end]).into_owned();
    {
        let mut seen = seen.lock().expect("no panic");
        seen.heads.push(head.clone());
        seen.bytes.extend_from_slice(&begun);
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method == "CONNECT" {
        let server = TcpStream::connect(target).await?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        return pass(client, server, seen).await;
    }
    let rest = target.strip_prefix("http://").unwrap_or_default();
    let slash = rest.find('/').unwrap_or(rest.len());
    let mut server = TcpStream::connect(&rest[..slash]).await?;
    // One request a connection, so that no second one has to be told from the first.
    let asked = head.replacen(target, &rest[slash..], 1);
    let asked = asked.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(asked.as_bytes()).await?;
    server.write_all(&begun[end..]).await?;
    pass(client, server, seen).await
}

/// A tunnel by SOCKS5 (RFC 1928), without authentication and to an IPv4 address or a name.
async fn socks(
    mut client: TcpStream, mut begun: Vec<u8>, seen: Arc<Mutex<Seen>>,
) -> std::io::Result<()> {
    let at_least = async |client: &mut TcpStream, begun: &mut Vec<u8>, count: usize| {
        while begun.len() < count {
            if client.read_buf(begun).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
        }
        Ok(())
    };
    at_least(&mut client, &mut begun, 2).await?;
    let methods = 2 + usize::from(begun[1]);
    at_least(&mut client, &mut begun, methods).await?;
    client.write_all(&[5, 0]).await?;
    let mut asked = begun.split_off(methods);
    at_least(&mut client, &mut asked, 5).await?;
    let is_name = asked[3] == 3;
    let end = if is_name { 5 + usize::from(asked[4]) } else { 8 };
    at_least(&mut client, &mut asked, end + 2).await?;
    let host = match is_name {
        true => String::from_utf8_lossy(&asked[5..end]).into_owned(),
        false => asked[4..8].iter().map(u8::to_string).collect::<Vec<_>>().join("."),
    };
    let target = format!("{host}:{}", u16::from_be_bytes([asked[end], asked[end + 1]]));
    seen.lock().expect("no panic").heads.push(format!("SOCKS {target}"));
    let server = TcpStream::connect(&target).await?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
    pass(client, server, seen).await
}

/// Passes on what either side sends until the server has no more.
async fn pass(client: TcpStream, server: TcpStream, seen: Arc<Mutex<Seen>>) -> std::io::Result<()> {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = tokio::spawn(copy(from_client, to_server, Some(seen)));
    let down = copy(from_server, to_client, None).await;
    up.abort();
    down
}

async fn copy(
    mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin,
    seen: Option<Arc<Mutex<Seen>>>,
) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(64 << 10);
    while from.read_buf(&mut bytes).await? > 0 {
        if let Some(seen) = &seen {
            seen.lock().expect("no panic").bytes.extend_from_slice(&bytes);
        }
        to.write_all(&bytes).await?;
        bytes.clear();
    }
    to.shutdown().await
}
