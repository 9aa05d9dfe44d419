//! A name server for one name, in the place of a cluster's DNS.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, QTYPE, RCODE, ResourceRecord, TYPE};

/// The name that it knows.
pub(crate) const NAME: &str = "localhost";

/// Where it listens: a resolver's configuration names no port.
const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 53);

/// A running name server. It ends with the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameServer {
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Serves [`NAME`] as 127.0.0.1, and nothing else.
    ///
    /// # Errors
    /// Its port is taken or not allowed.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(ADDRESS).context(
            "the name server needs port 53: `make test-image` gives it a network of its own",
        )?;
        let server = Self::default();
        let asked = server.asked.clone();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let Some((name, reply)) = answer(&buffer[..length]) else {
                    continue;
                };
                asked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(name);
                let _ = socket.send_to(&reply, client);
            }
        });
        Ok(server)
    }

    /// The names that it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The name that a query is for, and the reply to it.
fn answer(query: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut reply = Packet::parse(query).ok()?.into_reply();
    let question = reply.questions.first()?.clone();
    let name = question.qname.to_string();
    if name != NAME {
        *reply.rcode_mut() = RCODE::NameError;
    } else if question.qtype == QTYPE::TYPE(TYPE::A) {
        let address = RData::A(A::from(Ipv4Addr::LOCALHOST));
        let record = ResourceRecord::new(question.qname, CLASS::IN, 30, address);
        reply.answers.push(record);
    }
    Some((name, reply.build_bytes_vec().ok()?))
}
