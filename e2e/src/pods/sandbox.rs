//! The process that holds a pod's namespaces while its container comes and goes, and passes on what crosses their border.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::network::join;

/// Name of the binary, one of this package's.
pub(super) const BINARY: &str = "pod-sandbox";

/// The longest port, with the end of its line.
const PORT_LENGTH: usize = 6;

/// What the process is told. It runs in a network namespace of its own.
#[derive(Debug, Parser)]
pub struct Sandbox {
    /// The pod's address.
    #[arg(long)]
    address: IpAddr,
    /// Where to make the socket by which the pod is reached: it takes a port and a line end, and leads to that port.
    #[arg(long)]
    socket: PathBuf,
    /// What the pod reaches: an address and the socket that it leads to.
    #[arg(long = "link")]
    links: Vec<Link>,
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) listens: SocketAddr,
    pub(super) socket: PathBuf,
}

impl FromStr for Link {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (listens, socket) = text.split_once('=').context("no = in the link")?;
        Ok(Self {
            listens: listens.parse()?,
            socket: socket.into(),
        })
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.listens, self.socket.display())
    }
}

impl Sandbox {
    /// Serves until the process is killed.
    ///
    /// # Errors
    /// The interface cannot be set up, or an address or the socket is taken.
    pub async fn serve(self) -> anyhow::Result<()> {
        ip(&["link", "set", "lo", "up"])?;
        add_address(self.address)?;
        for link in self.links {
            let of_service = link.listens.ip();
            if !of_service.is_loopback() {
                add_address(of_service)?;
            }
            let listener = TcpListener::bind(link.listens).await?;
            tokio::spawn(lead_out(listener, link.socket));
        }
        let entrance = UnixListener::bind(&self.socket)?;
        loop {
            let (outer, _) = entrance.accept().await?;
            tokio::spawn(lead_in(outer, self.address));
        }
    }
}

async fn lead_out(listener: TcpListener, socket: PathBuf) -> std::io::Result<()> {
    loop {
        let (inner, _) = listener.accept().await?;
        let outer = connect(&socket).await;
        tokio::spawn(async move {
            if let Ok(outer) = outer {
                join(inner, outer).await;
            }
        });
    }
}

async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(socket).await
}

/// Leads a connection to the port that it asks for. It ends at once where nobody listens there.
async fn lead_in(mut outer: UnixStream, address: IpAddr) -> anyhow::Result<()> {
    let mut port = String::new();
    loop {
        match outer.read_u8().await? {
            b'\n' => break,
            digit => port.push(digit.into()),
        }
        ensure!(port.len() < PORT_LENGTH, "no port: {port}");
    }
    let inner = TcpStream::connect((address, port.parse()?)).await?;
    join(outer, inner).await;
    Ok(())
}

fn add_address(address: IpAddr) -> anyhow::Result<()> {
    ip(&["address", "add", &format!("{address}/32"), "dev", "lo"])
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("ip").args(arguments).status().context("ip")?;
    ensure!(status.success(), "ip {}: {status}", arguments.join(" "));
    Ok(())
}
