//! Addresses to listen on, as the configuration writes them.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

/// The address to bind to: without a host, every interface of both families. An IPv6 address may stand in
/// brackets and have a scope, as Java prints it: `fe80::1%eth0`, `0:0:0:0:0:0:0:1%lo`, `fe80::1%2`.
///
/// # Errors
/// The host has no address, or the scope is no interface of this machine.
pub(super) fn resolve(host: Option<&str>, port: u16) -> io::Result<SocketAddr> {
    let Some(host) = host else { return Ok(SocketAddr::from(([0; 16], port))) };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Some((ip, scope)) = host.split_once('%')
        && let Ok(ip) = ip.parse::<Ipv6Addr>()
    {
        let index = interface(scope)?;
        // Only an address of one link needs to be told which; others have no scope in the system's eyes.
        let scope_id = if ip.is_unicast_link_local() { index } else { 0 };
        return Ok(SocketAddrV6::new(ip, port, 0, scope_id).into());
    }
    let not_there = || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{host} has no address"));
    (host, port).to_socket_addrs()?.next().ok_or_else(not_there)
}

/// The number of a network interface, given by name or number.
fn interface(scope: &str) -> io::Result<u32> {
    if let Ok(index) = scope.parse() {
        return Ok(index);
    }
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
    rustix::net::netdevice::name_to_index(&socket, scope).map_err(|error| {
        let problem = format!("there is no network interface {scope}: {error}");
        io::Error::new(io::ErrorKind::AddrNotAvailable, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(host: &str) -> String {
        resolve(Some(host), 2181).unwrap().to_string()
    }

    #[test]
    fn an_address_with_a_scope_is_understood_as_java_prints_it() {
        assert_eq!(resolved("0:0:0:0:0:0:0:1%lo"), "[::1]:2181");
        assert_eq!(resolved("[::1%lo]"), "[::1]:2181");
        assert_eq!(resolved("fe80::1%1"), "[fe80::1%1]:2181");
        assert_eq!(resolved("fe80:0:0:0:0:0:0:1%lo"), "[fe80::1%1]:2181");
    }

    #[test]
    fn a_scope_that_is_no_interface_is_named() {
        let error = resolve(Some("fe80::1%no-such"), 2181).unwrap_err();
        assert!(error.to_string().starts_with("there is no network interface no-such: "), "{error}");
    }

    #[test]
    fn other_addresses_and_no_address_are_what_they_were() {
        assert_eq!(resolved("127.0.0.1"), "127.0.0.1:2181");
        assert_eq!(resolved("[::1]"), "[::1]:2181");
        assert_eq!(resolve(None, 2181).unwrap().to_string(), "[::]:2181");
    }
}
