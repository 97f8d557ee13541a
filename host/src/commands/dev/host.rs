//! The host that a crate is developed on: one that is there, or one that is started for it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;
use hyper::{Method, Uri};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::OUTPUT;
use crate::assemble::Signals;
use crate::cli::text;
use crate::client::{Client, Failure, whole};
use crate::commands::Exit;

/// How long a host may take to start.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to stop: longer than it allows itself.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A host to develop on.
pub(super) struct Host {
    url: String,
    started: Option<Started>,
}

/// A host that is ours. It is killed if this is dropped.
struct Started {
    child: Child,
    /// It writes nothing more there, but it must not be closed to it.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Host {
    /// The host that is there; if there is none, or `--listen` is given, one that is started.
    pub(super) async fn find_or_start(
        matches: &ArgMatches,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let url = text(matches, "host").to_owned();
        if let Some(listen) = matches.get_one::<String>("listen") {
            return Ok(Self::start(matches, folder, listen).await?);
        }
        let client = crate::commands::client(matches)?;
        let json = "application/json";
        let nobody = match client
            .send(Method::GET, "/components", json, whole(""))
            .await
        {
            Ok(_) => {
                OUTPUT.say(&format!("greenroom: using the host at {url}"));
                let started = None;
                return Ok(Self { url, started });
            }
            Err(Failure::Unreachable(error)) => error,
            Err(refused) => return Err(refused),
        };
        // One that somebody has named, elsewhere, cannot be started here.
        let listen = local(&url).with_context(|| format!("{nobody:#}"))?;
        let is_named = matches.value_source("host") != Some(ValueSource::DefaultValue);
        if is_named {
            OUTPUT.say(&format!(
                "greenroom: no host answers at {url}; starting one"
            ));
        }
        Ok(Self::start(matches, folder, &listen).await?)
    }

    async fn start(matches: &ArgMatches, folder: &Path, listen: &str) -> Result<Self> {
        let data = matches.get_one::<PathBuf>("data").cloned();
        let data = data.unwrap_or_else(|| folder.join(".greenroom"));
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", listen, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C goes to all processes of a group. This one is told by us, and once: twice would mean at once.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(token) = matches.get_one::<String>("token") {
            // Not as a flag, which everybody on the machine can see.
            command.env("GREENROOM_TOKEN", token);
        }
        let mut child = command.spawn().context("cannot start a host")?;
        let stdout = child.stdout.take().context("the host has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix("READY ") {
                    return Ok(url.to_owned());
                }
            }
            bail!("the host that was started has ended")
        };
        let url = timeout(START_MAX, ready).await;
        let url = url.map_err(|_| anyhow!("the host was not ready within {START_MAX:?}"))??;
        OUTPUT.say(&format!("greenroom: started a host at {url}"));
        let started = Some(Started {
            child,
            _stdout: lines,
        });
        Ok(Self { url, started })
    }

    pub(super) fn client(&self, matches: &ArgMatches) -> Result<Client> {
        Client::new(&self.url, matches.get_one::<String>("token").cloned())
    }

    /// Waits until the host ends by itself, if it is ours; otherwise for ever. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Exit {
        let Some(started) = &mut self.started else {
            return std::future::pending().await;
        };
        let status = started.child.wait().await;
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        OUTPUT.say(&format!("greenroom: the host has ended by itself ({how})"));
        Exit::Failed
    }

    /// Ends the host, if it is ours. A second signal ends it at once.
    pub(super) async fn stop(self, signals: &mut Signals) {
        let Some(Started { mut child, _stdout }) = self.started else {
            return;
        };
        // Without an id it has ended.
        let Some(pid) = child.id().and_then(pid) else {
            return;
        };
        _ = kill_process(pid, Signal::TERM);
        let ended: Option<std::io::Result<ExitStatus>> = tokio::select! {
            ended = timeout(STOP_MAX, child.wait()) => ended.ok(),
            _ = signals.next() => None,
        };
        if ended.is_none() {
            OUTPUT.say("greenroom: the host did not stop in time, and was ended");
            // It can only fail because the host has just ended.
            _ = child.kill().await;
        }
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Where to listen to be found at this URL, if that can be here.
fn local(url: &str) -> Result<String> {
    let uri: Uri = url.parse()?;
    let host = uri.host().context("the URL has no host")?;
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    if host != "localhost" && !address.is_ok_and(|address| address.is_loopback()) {
        bail!("{host} is not this machine, so no host is started");
    }
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_host_is_started_here_and_nowhere_else() {
        let local = |url: &str| super::local(url).ok();
        assert_eq!(
            local("http://127.0.0.1:6420").as_deref(),
            Some("127.0.0.1:6420")
        );
        assert_eq!(local("http://[::1]:1/").as_deref(), Some("[::1]:1"));
        assert_eq!(local("http://localhost:5").as_deref(), Some("localhost:5"));
        assert_eq!(local("http://example.com:6420"), None);
        assert_eq!(local("http://10.0.0.1:6420"), None);
    }
}
