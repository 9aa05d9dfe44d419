//! A TCP port that stays ours while nobody listens on it.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::OwnedFd,
};

use anyhow::Context;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

/// A loopback port that is bound but not listened on, so that nobody else is given it. A server that binds with
/// SO_REUSEPORT (`kube-apiserver --permit-port-sharing`) can listen on it; while none does, connections are refused.
#[derive(Debug)]
pub(super) struct ReservedPort {
    number: u16,
    _socket: OwnedFd,
}

impl ReservedPort {
    pub(super) fn new() -> anyhow::Result<Self> {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self {
            number: address.port(),
            _socket: socket,
        })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}
