//! Where the host listens: on addresses of its own, or on sockets that whoever started it has handed over.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use greenroom_server::Tls;
use listenfd::ListenFd;
use tokio::net::TcpListener;
use tracing::warn;

use crate::config::{Config, TlsConfig, check_local};

/// The listening sockets.
pub(crate) struct Listening {
    pub(crate) plain: TcpListener,
    pub(crate) tls: Option<(TcpListener, Tls)>,
}

impl Listening {
    /// Binds, or takes over: the first socket that was handed over (systemd's `LISTEN_FDS`) is for plain HTTP, the
    /// second for TLS. Such a socket outlives the host, and so do connections that wait on it: a restart refuses
    /// nobody.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        let mut given = ListenFd::from_env();
        let plain = socket(&mut given, 0, config.listen).await?;
        let has_token = config.token.is_some();
        // What was handed over may be anything.
        if !has_token {
            check_local(plain.local_addr()?)?;
        }
        let tls = match &config.tls {
            None => None,
            Some(wanted) => {
                let listener = socket(&mut given, 1, wanted.listen).await?;
                if !has_token {
                    check_local(listener.local_addr()?)?;
                }
                Some((listener, load(wanted, &config.data)?))
            }
        };
        Ok(Self { plain, tls })
    }
}

async fn socket(given: &mut ListenFd, index: usize, address: SocketAddr) -> Result<TcpListener> {
    let taken = given
        .take_tcp_listener(index)
        .context("what was handed over in LISTEN_FDS is no listening TCP socket")?;
    let Some(taken) = taken else {
        let bound = TcpListener::bind(address).await;
        return bound.with_context(|| format!("cannot listen on {address}"));
    };
    taken.set_nonblocking(true)?;
    Ok(TcpListener::from_std(taken)?)
}

fn load(wanted: &TlsConfig, data: &Path) -> Result<Tls> {
    let (certificate, key) = match &wanted.files {
        Some((certificate, key)) => (certificate.clone(), key.clone()),
        None => self_signed(&data.join("tls"))?,
    };
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(Tls::new(&read(&certificate)?, &read(&key)?)?)
}

/// A certificate for this machine's own names, made once and kept. Clients have to be told to trust it.
fn self_signed(folder: &Path) -> Result<(std::path::PathBuf, std::path::PathBuf)> {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::create_dir_all(folder)?;
    write_secret(&key, &made.signing_key.serialize_pem())?;
    std::fs::write(&certificate, made.cert.pem())?;
    warn!(
        certificate = %certificate.display(),
        "made a certificate that signs itself; browsers have to be told to trust it"
    );
    Ok((certificate, key))
}

/// For the owner's eyes only.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())?;
    Ok(())
}
