//! The host under test: the release binary, with the `bench` actor type deployed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::load::Caller;

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    process: Child,
    _data: tempfile::TempDir,
}

impl Host {
    /// Starts `$GREENROOM_BIN` and deploys `$GREENROOM_GUESTS/bench.wasm`.
    pub(crate) async fn start() -> Result<Self> {
        let binary = variable("GREENROOM_BIN")?;
        let guest = variable("GREENROOM_GUESTS")?.join("bench.wasm");
        let data = tempfile::tempdir()?;
        let mut process = Command::new(&binary)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log",
                "error",
                "--sleep-after",
                "1h",
            ])
            .arg("--data")
            .arg(data.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = process
            .stdout
            .take()
            .context("the host has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = lines.next_line().await?.context("the host ended at once")?;
        let address = ready
            .strip_prefix("READY http://")
            .context("the host is not ready")?;
        let url = format!("http://{address}");
        let deploy = Command::new(&binary)
            .args(["deploy", "--host", &url])
            .arg(&guest)
            .status();
        if !deploy.await?.success() {
            bail!("{} cannot be deployed", guest.display());
        }
        Ok(Self {
            address: address.parse()?,
            process,
            _data: data,
        })
    }

    /// Resident memory of the process.
    pub(crate) fn resident_kib(&self) -> Result<i64> {
        let pid = self.process.id().context("the host has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|line| line.split_whitespace().next())
            .context("no VmRSS")?;
        Ok(kib.parse()?)
    }

    /// Puts one actor of the type `bench` to sleep and waits until it does.
    pub(crate) async fn put_to_sleep(&self, caller: &mut Caller, key: &str) -> Result<()> {
        let found = caller
            .get(&format!("/actors?name=bench&key={key}&namespace=default"))
            .await?;
        let id = found["actors"][0]["actor_id"]
            .as_str()
            .context("there is no such actor")?;
        caller
            .call(&format!("/actors/{id}/sleep?namespace=default"))
            .await?;
        Ok(())
    }

    /// How many actors of a type are awake.
    pub(crate) async fn awake(&self, caller: &mut Caller, actor_type: &str) -> Result<usize> {
        let mut awake = 0;
        let mut cursor = String::new();
        loop {
            let page = caller
                .get(&format!(
                    "/actors?namespace=default&name={actor_type}{cursor}"
                ))
                .await?;
            let actors = page["actors"].as_array().context("a page of actors")?;
            awake += actors.iter().filter(|actor| actor["awake"] == true).count();
            match page["pagination"]["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(awake),
            }
        }
    }

    /// Puts every actor to sleep.
    pub(crate) async fn sleep_all(&self, caller: &mut Caller) -> Result<()> {
        let mut cursor = String::new();
        loop {
            let page = caller
                .get(&format!("/actors?namespace=default{cursor}"))
                .await?;
            for actor in page["actors"].as_array().context("a page of actors")? {
                if actor["awake"] == true {
                    let id = actor["actor_id"].as_str().context("an actor has an id")?;
                    caller
                        .call(&format!("/actors/{id}/sleep?namespace=default"))
                        .await?;
                }
            }
            match page["pagination"]["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(()),
            }
        }
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.process.id().context("the host has ended")?;
        Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await?;
        let status = self.process.wait().await?;
        if !status.success() {
            bail!("the host ended badly: {status}");
        }
        Ok(())
    }
}

fn variable(name: &str) -> Result<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .with_context(|| format!("{name} is not set"))
}
