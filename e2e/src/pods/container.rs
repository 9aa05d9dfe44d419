//! A pod's sandbox and the process of its container.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::environment::Invocation;
use super::machine::Machine;
use super::network;
use super::root::{ENTRY_POINT, Root};
use super::sandbox::{self, Link};
use super::spec::Identity;
use crate::supervisor::{Command, Exit, Process, binary_beside};
use crate::wait::{PATIENCE, until};

/// The namespaces of a pod, and what passes their border.
#[derive(Debug)]
pub(super) struct Sandbox {
    process: Process,
    /// The pod's address.
    pub(super) address: String,
    /// Leads to that address.
    pub(super) socket: PathBuf,
}

impl Sandbox {
    /// Makes the namespaces. From within, the API server answers at the address of its Service.
    ///
    /// # Errors
    /// This machine allows no namespaces, or lacks a tool.
    pub(super) async fn start(
        machine: &Machine,
        folder: &Path,
        (service, service_port): (String, u16),
    ) -> anyhow::Result<Self> {
        let binary = binary_beside(sandbox::BINARY, "cargo build -p azwib-e2e --bins")?;
        let (address, socket) = (machine.address(), folder.join("pod.sock"));
        let link = |listens, port| Link {
            listens,
            socket: network::link(&machine.links(), port),
        };
        let service = SocketAddr::new(service.parse()?, service_port);
        let here = machine.options.loopback_ports.iter().map(|port| {
            let listens = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *port);
            link(listens, *port)
        });
        let links = here.chain([link(service, machine.api_server_port)]);
        let mut args = vec![
            "--user".to_owned(),
            "--map-root-user".to_owned(),
            "--net".to_owned(),
            "--".to_owned(),
            binary.to_string_lossy().into_owned(),
            format!("--address={address}"),
            format!("--socket={}", socket.display()),
        ];
        args.extend(links.map(|link| format!("--link={link}")));
        let process = machine
            .supervisor
            .spawn(command(
                "/usr/bin/unshare",
                args,
                folder.join("sandbox.log"),
            ))
            .await?;
        until("the sandbox to be there", PATIENCE, async || {
            anyhow::ensure!(process.exit().is_none(), "the sandbox has ended");
            Ok(UnixStream::connect(&socket).await.ok())
        })
        .await
        .with_context(|| process.log_tail())?;
        Ok(Self {
            process,
            address,
            socket,
        })
    }

    /// Starts a process in the sandbox.
    ///
    /// # Errors
    /// It cannot be started. That it ends at once is seen by its exit.
    pub(super) async fn run(
        &self,
        machine: &Machine,
        root: &Root,
        identity: Identity,
        invocation: Invocation,
        log: PathBuf,
    ) -> anyhow::Result<Process> {
        let Invocation {
            variables,
            command: mut command_line,
            arguments,
        } = invocation;
        if command_line.is_empty() {
            command_line.push(ENTRY_POINT.to_owned());
        }
        command_line.extend(arguments);
        let variables = variables
            .into_iter()
            .map(|(name, it)| format!("{name}={it}"));
        let enter = [
            format!("--target={}", self.process.pid()),
            "--user".to_owned(),
            "--net".to_owned(),
            "--preserve-credentials".to_owned(),
            "--".to_owned(),
        ];
        let unshare = ["/usr/bin/unshare", "--mount", "--", "/bin/sh"].map(str::to_owned);
        let shell = root.shell(identity, variables, command_line);
        let args = enter.into_iter().chain(unshare).chain(shell).collect();
        let enter = command("/usr/bin/nsenter", args, log);
        machine.supervisor.spawn(enter).await
    }

    /// Ends the sandbox, and with it the pod's network.
    pub(super) async fn end(&self) {
        // Fails only when the supervisor is gone, and the sandbox with it.
        let _ = self.process.kill().await;
    }
}

/// Ends a process: asks it to, and kills it when the grace period is over.
///
/// # Errors
/// The supervisor is gone.
pub(super) async fn stop(process: &Process, grace: Duration) -> anyhow::Result<Exit> {
    if let Some(exit) = process.exit() {
        return Ok(exit);
    }
    match timeout(grace, process.terminate()).await {
        Ok(exit) => exit,
        Err(_) => process.kill().await,
    }
}

fn command(program: &str, args: Vec<String>, log: PathBuf) -> Command {
    // A folder that is gone shows as a failure to open the log.
    let _ = log.parent().map(fs::create_dir_all);
    Command {
        program: program.into(),
        args,
        env: BTreeMap::new(),
        stdin: None,
        stdout: None,
        log,
    }
}
