//! The part of reading that is about ensembles: server lines, the dynamic file, `myid`, and the rules
//! that tie them to the rest.

#![expect(clippy::disallowed_methods, reason = "as in read.rs")]

use std::path::Path;

use super::{Reading, Result, syntax};
use crate::config::dynamic::{self, Membership, Role};
use crate::config::{Config, ConfigError, source};

impl Reading<'_> {
    pub(super) fn peer_type(&self) -> Result<Role> {
        let word = self.source.text("peerType").unwrap_or("participant");
        Role::parse(word).map_err(|problem| self.source.wrong("peerType", problem))
    }

    pub(super) fn membership(&self) -> Result<Membership> {
        let multi_address = self.several_addresses()?;
        let mut membership = Membership::default();
        let dynamic_file = self.source.text("dynamicConfigFile");
        for entry in self.entries.effective() {
            let belongs = ["server.", "group", "weight"].iter().any(|prefix| entry.key.starts_with(prefix));
            // The reference stumbles over server.realm here; we leave it to the key it is.
            if !belongs || entry.key == "server.realm" {
                continue;
            }
            if dynamic_file.is_some() {
                return Err(self.source.wrong(&entry.key, "must be in the dynamic file, since there is one"));
            }
            let taken = membership.take(&entry.key, &entry.value, multi_address);
            taken.map_err(|problem| self.source.wrong(&entry.key, problem))?;
        }
        if let Some(path) = dynamic_file {
            membership = self.dynamic_membership(path, multi_address)?;
        }
        membership.check_groups().map_err(|problem| self.source.missing("group.N", problem))?;
        Ok(membership)
    }

    fn dynamic_membership(&self, path: &str, multi_address: bool) -> Result<Membership> {
        let bytes = std::fs::read(path)
            .map_err(|error| self.source.wrong("dynamicConfigFile", format!("cannot be read: {error}")))?;
        let entries = syntax(path, &bytes)?;
        let mut membership = Membership::default();
        for entry in entries.effective() {
            let wrong = |problem: String| ConfigError {
                line: Some(entry.line),
                key: entry.key.clone(),
                value: source::shown(&entry.key, &entry.value),
                ..ConfigError::file(path, problem)
            };
            if entry.key == "version" {
                return Err(wrong("belongs into the name of the file, not into it".to_owned()));
            }
            if !membership.take(&entry.key, &entry.value, multi_address).map_err(wrong)? {
                return Err(wrong("only server, group and weight lines belong here".to_owned()));
            }
        }
        membership.version = dynamic::version_of_file_name(path).unwrap_or(0);
        Ok(membership)
    }

    pub(super) fn my_id(&self, data_dir: &Path) -> Result<Option<i64>> {
        let path = data_dir.join("myid");
        if !path.is_file() {
            return Ok(None);
        }
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ConfigError::file(&name, format!("cannot be read: {error}")))?;
        let first = text.lines().next().unwrap_or_default();
        match first.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(ConfigError {
                line: Some(1),
                ..ConfigError::file(&name, format!("{first:?} must be a server id, a whole number"))
            }),
        }
    }

    /// The rules of `QuorumPeerConfig.setupQuorumPeerConfig`, in its order.
    pub(super) fn settle_membership(&mut self, config: &mut Config) -> Result<()> {
        let (voters, observers) = (config.membership.voters().count(), config.membership.observers().count());
        if voters == 0 && !config.standalone_enabled {
            return Err(self.source.wrong("standaloneEnabled", "needs at least one server.N line"));
        }
        if observers > 0 && (voters == 0 || (voters == 1 && config.standalone_enabled)) {
            return Err(self.source.missing("server.N", "observers need an ensemble of voters"));
        }
        if config.is_distributed() && voters <= 2 {
            self.source.warnings.push(format!("{voters} voting servers tolerate no failure; use at least 3"));
        } else if voters > 2 && voters % 2 == 0 {
            self.source
                .warnings
                .push(format!("{voters} voting servers tolerate no more failures than {}", voters - 1));
        }
        let me = config.server_id.and_then(|id| config.membership.servers.get(&id)).cloned();
        if let Some(client) = me.as_ref().and_then(|me| me.client.clone()) {
            let any_host =
                config.client_port_address.as_ref().is_none_or(|host| host == "0.0.0.0" || host == "::");
            let same_host = any_host || config.client_port_address.as_ref() == Some(&client.host);
            if config.client_port.is_some_and(|port| port != client.port || !same_host) {
                let problem =
                    format!("differs from the client address {}:{} of server.N", client.host, client.port);
                return Err(self.source.wrong("clientPort", problem));
            }
            config.client_port = Some(client.port);
            config.client_port_address = Some(client.host).filter(|host| host != "0.0.0.0");
        }
        let listed = me.map_or(Role::Participant, |me| me.role);
        if listed != config.peer_type {
            self.source.warnings.push("peerType does not match the server list; the list counts".to_owned());
            config.peer_type = listed;
        }
        if config.is_distributed() {
            for (key, ticks) in
                [("initLimit", config.init_limit_ticks), ("syncLimit", config.sync_limit_ticks)]
            {
                if ticks == 0 {
                    return Err(self.source.missing(key, "must be set in an ensemble"));
                }
            }
            if config.readonly_mode_enabled {
                let remark = "readonlymode.enabled=true: this version serves nobody while there is no leader, \
                              read-only clients neither";
                self.source.warnings.push(remark.to_owned());
            }
            if config.server_id.is_none() {
                let path = config.data_dir.join("myid").display().to_string();
                return Err(ConfigError::file(&path, "must exist and hold this server's id"));
            }
        }
        if config.client_port.is_none() && config.secure_client_port.is_none() {
            return Err(self.source.missing("clientPort", "must be set, or no client can connect"));
        }
        Ok(())
    }
}
