//! The values of flags, one by one.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::error::Error;

/// A flag that was given something: an empty environment variable is none.
pub(super) fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

pub(super) fn required<'a>(
    value: &'a Option<String>,
    flag: &'static str,
    with: &'static str,
    variable: &'static str,
) -> Result<&'a str, Error> {
    given(value).ok_or(Error::Missing {
        flag,
        with,
        variable,
    })
}

pub(super) fn duration(
    flag: &'static str,
    value: &str,
    least: u64,
    most: u64,
) -> Result<Duration, Error> {
    let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
    duration_within(flag, value, least, most)
}

pub(super) fn duration_within(
    flag: &'static str,
    value: &str,
    least: Duration,
    most: Duration,
) -> Result<Duration, Error> {
    let parsed = humantime::parse_duration(value).map_err(|source| Error::Duration {
        flag,
        value: value.to_owned(),
        source,
    })?;
    if parsed < least || parsed > most {
        return Err(Error::Range {
            flag,
            value: value.to_owned(),
            least: shown(least),
            most: shown(most),
        });
    }
    Ok(parsed)
}

pub(super) fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

pub(super) fn within(flag: &'static str, value: u16, least: u16, most: u16) -> Result<u16, Error> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::Range {
        flag,
        value: value.to_string(),
        least: least.to_string(),
        most: most.to_string(),
    })
}

/// An address as Go programs write it: `:8081` is every interface.
pub(super) fn address(flag: &'static str, value: &str) -> Result<SocketAddr, Error> {
    let port_only = value.strip_prefix(':').and_then(|port| port.parse().ok());
    match port_only {
        Some(port) => Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        None => value.parse().map_err(|_| Error::Address {
            flag,
            value: value.to_owned(),
        }),
    }
}
