//! The tickets by which this server proves to others who it is, and their use. Getting them takes time, which nobody
//! who connects has: whoever keeps them does so beforehand ([`Tickets::wanted`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::crypto::Random;
use super::exchange::WallClock;
use super::initiator::Initiator;
use super::name::Principal;
use super::tickets::Ticket;
use crate::auth::sasl::{Failure, Initiating, Login};

/// Tickets for services, by the services' names; or why there is none yet.
#[derive(Debug, Default)]
pub struct Tickets {
    held: Mutex<BTreeMap<String, (Principal, Result<Ticket, String>)>>,
    asked: Condvar,
}

impl Tickets {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, (Principal, Result<Ticket, String>)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a ticket for a service will be needed.
    pub fn want(&self, service: &Principal) {
        let missing = || (service.clone(), Err("there is no ticket for it yet".to_owned()));
        self.held().entry(service.to_string()).or_insert_with(missing);
        self.asked.notify_all();
    }

    /// Keeps a ticket, or why there is none. A ticket that is held is better than a reason.
    pub fn keep(&self, service: &Principal, got: Result<Ticket, String>) {
        let mut held = self.held();
        let is_worse = got.is_err() && held.get(&service.to_string()).is_some_and(|(_, held)| held.is_ok());
        if !is_worse {
            held.insert(service.to_string(), (service.clone(), got));
        }
    }

    /// The services of which tickets are missing, or end before a time, in seconds since 1970.
    #[must_use]
    pub fn wanted(&self, before: i64) -> Vec<Principal> {
        let held = self.held();
        let is_wanted =
            |got: &Result<Ticket, String>| got.as_ref().map_or(true, |ticket| ticket.ends < before);
        held.values().filter(|(_, got)| is_wanted(got)).map(|(service, _)| service.clone()).collect()
    }

    /// Waits until a ticket is missing, and for this time at most.
    pub fn wait(&self, at_most: Duration) {
        let is_none_missing = |held: &mut BTreeMap<_, (Principal, Result<_, String>)>| {
            held.values().all(|(_, got)| got.is_ok())
        };
        let waited = self.asked.wait_timeout_while(self.held(), at_most, is_none_missing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn ticket(&self, service: &Principal) -> Result<Ticket, String> {
        self.want(service);
        self.held()
            .get(&service.to_string())
            .map_or_else(|| Err("there is no ticket for it".to_owned()), |(_, got)| got.clone())
    }
}

/// How this server proves to others who it is.
#[derive(Clone, Debug)]
pub struct KerberosLogin {
    /// The tickets that are at hand.
    pub tickets: Arc<Tickets>,
    /// What others are called, `_HOST` in place of the host.
    pub service: String,
    /// The realm of that name where it has none.
    pub realm: String,
    /// The wall's clock.
    pub clock: WallClock,
    /// Random bytes.
    pub random: Random,
}

impl KerberosLogin {
    /// What the server on a host is called (reference: `SecurityUtils.getServerPrincipal`).
    ///
    /// # Errors
    /// The name of the configuration is none.
    pub fn service_on(&self, host: &str) -> Result<Principal, String> {
        let named = match self.service.split_once('/') {
            Some((service, "_HOST")) => format!("{service}/{}", host.to_lowercase()),
            _ => self.service.clone(),
        };
        Principal::parse(&named, Some(&self.realm))
    }
}

impl Login for KerberosLogin {
    fn begin(&self, host: &str) -> Box<dyn Initiating> {
        let ticket = self.service_on(host).and_then(|service| {
            self.tickets.ticket(&service).map_err(|why| format!("Kerberos, service {service}: {why}"))
        });
        match ticket {
            // Milliseconds, and then something that differs between two exchanges of one, as authenticators must.
            Ok(ticket) => {
                let mut bytes = [0; 2];
                let _ = (self.random)(&mut bytes);
                let micros = i64::from(u16::from_be_bytes(bytes) % 1000);
                Box::new(Initiator::new(ticket, (self.clock)() * 1000 + micros, self.random))
            }
            Err(why) => Box::new(NoTicket(why)),
        }
    }
}

/// An exchange that cannot begin.
struct NoTicket(String);

impl Initiating for NoTicket {
    fn first(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        Err(Failure(self.0.clone()))
    }

    fn answer(&mut self, _token: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Err(Failure(self.0.clone()))
    }
}
