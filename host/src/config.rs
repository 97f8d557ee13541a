//! What `serve` runs with: flags over environment over file over defaults, checked before anything starts.

use std::collections::HashSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ArgMatches;
use greenroom_model::{Limits, Namespace};
use greenroom_server::Namespaces;
use tracing_subscriber::EnvFilter;

use crate::settings::SETTINGS;

/// Names in a config file that are no limits.
const PLAIN: &[&str] = &[
    "listen",
    "tls_listen",
    "tls_cert",
    "tls_key",
    "data",
    "token",
    "namespaces",
    "log",
    "log_format",
];

/// Everything that `serve` has to know.
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    /// Where to listen for TLS, if at all.
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) data: PathBuf,
    /// `None`: development mode.
    pub(crate) token: Option<String>,
    pub(crate) namespaces: Namespaces,
    pub(crate) log: String,
    pub(crate) logs_json: bool,
    pub(crate) limits: Limits,
    /// Whether somebody asked for this number of awake actors.
    pub(crate) awake_max_is_given: bool,
}

/// A listener for TLS.
pub(crate) struct TlsConfig {
    pub(crate) listen: SocketAddr,
    /// Certificate and key; without them, the host makes its own.
    pub(crate) files: Option<(PathBuf, PathBuf)>,
}

impl Config {
    /// Reads all sources.
    pub(crate) fn load(matches: &ArgMatches) -> Result<Self> {
        let sources = Sources {
            matches,
            file: File::load(matches)?,
        };
        let mut limits = Limits::default();
        for setting in SETTINGS {
            if let Some(value) = sources.get(setting.name) {
                setting.apply(&mut limits, &value)?;
            }
        }
        check_together(&limits)?;
        let listen = sources
            .get("listen")
            .unwrap_or_else(|| "127.0.0.1:6420".to_owned());
        let listen = address("listen", &listen)?;
        let token = sources.get("token").filter(|token| !token.is_empty());
        let tls = tls(&sources)?;
        if token.is_none() {
            check_local(listen)?;
            if let Some(tls) = &tls {
                check_local(tls.listen)?;
            }
        }
        let logs_json = match sources.get("log_format").as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => bail!("log_format = {other:?}: it has to be text or json"),
        };
        let log = sources.get("log").unwrap_or_else(|| "info".to_owned());
        EnvFilter::try_new(&log).with_context(|| format!("log = {log:?} is no log filter"))?;
        Ok(Self {
            listen,
            tls,
            data: sources
                .get("data")
                .unwrap_or_else(|| ".greenroom".to_owned())
                .into(),
            namespaces: namespaces(sources.get("namespaces").as_deref(), token.is_none())?,
            token,
            log,
            logs_json,
            awake_max_is_given: sources.get("awake_max").is_some(),
            limits,
        })
    }
}

/// Settings that are each well within their bounds, and make no sense together.
fn check_together(limits: &Limits) -> Result<()> {
    let Limits {
        ping_every,
        silence_max,
        ..
    } = limits;
    if silence_max <= ping_every {
        bail!(
            "silence_max is {silence_max:?} and ping_every {ping_every:?}: every WebSocket would be taken for dead \
             before it is asked; silence_max has to be longer"
        );
    }
    Ok(())
}

/// Without a token, only this machine may reach the host.
pub(crate) fn check_local(address: SocketAddr) -> Result<()> {
    if !address.ip().is_loopback() {
        bail!(
            "listening on {address} without a token would let anybody deploy code; set a token \
             (--token, GREENROOM_TOKEN), or listen on loopback"
        );
    }
    Ok(())
}

fn tls(sources: &Sources<'_>) -> Result<Option<TlsConfig>> {
    let path = |name| sources.get(name).map(PathBuf::from);
    let files = match (path("tls_cert"), path("tls_key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => bail!("tls_cert and tls_key are wanted both, or neither"),
    };
    let Some(listen) = sources.get("tls_listen") else {
        if files.is_some() {
            bail!("tls_cert and tls_key are of no use without tls_listen");
        }
        return Ok(None);
    };
    let listen = address("tls_listen", &listen)?;
    Ok(Some(TlsConfig { listen, files }))
}

fn address(name: &str, text: &str) -> Result<SocketAddr> {
    let found = text.to_socket_addrs().ok();
    found
        .and_then(|mut addresses| addresses.next())
        .with_context(|| format!("{name} = {text:?}: it has to be an address like 127.0.0.1:6420"))
}

/// Where settings come from.
struct Sources<'a> {
    matches: &'a ArgMatches,
    file: File,
}

impl Sources<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let flag = if PLAIN.contains(&name) {
            name.replace('_', "-")
        } else {
            name.to_owned()
        };
        let given = self.matches.get_one::<String>(&flag).cloned();
        given.or_else(|| self.file.get(name))
    }
}

struct File(toml::Table);

impl File {
    fn load(matches: &ArgMatches) -> Result<Self> {
        let Some(path) = matches.get_one::<String>("config") else {
            return Ok(Self(toml::Table::new()));
        };
        let text = std::fs::read_to_string(Path::new(path))
            .with_context(|| format!("cannot read the config file {path}"))?;
        let table: toml::Table = text
            .parse()
            .with_context(|| format!("the config file {path} is not TOML"))?;
        for name in table.keys() {
            let is_limit = SETTINGS.iter().any(|setting| setting.name == name);
            if !is_limit && !PLAIN.contains(&name.as_str()) {
                bail!("the config file {path} sets {name:?}, which there is not");
            }
        }
        Ok(Self(table))
    }

    /// Numbers are taken as if they had been written as texts.
    fn get(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            toml::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

fn namespaces(names: Option<&str>, is_development: bool) -> Result<Namespaces> {
    let names = match names {
        None if is_development => return Ok(Namespaces::Any),
        None => "default",
        Some(names) => names,
    };
    let names: HashSet<Namespace> = names
        .split(',')
        .map(|name| Namespace::new(name.trim()))
        .collect::<Result<_, _>>()
        .context("namespaces")?;
    Ok(Namespaces::Listed(names))
}
