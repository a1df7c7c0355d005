//! What is allowed and unsafe, said once at the start, each with its remedy.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::address::resolve;
use super::options;
use crate::config::Config;
use crate::config::sasl::{Login, Own};
use crate::runtime::State;
use crate::tls::Password;
use crate::tree::acl::perms;
use crate::tree::{AclRules, Identities, Tree};

/// Others may read, or write, the file.
const OTHERS: u32 = 0o006;

/// Every warning of this start, a sentence each.
pub(super) fn at_start(config: &Config, state: &State) -> Vec<String> {
    let mut warnings = of_config(config, &mode);
    let root = root_is_open(&state.tree(), options::request_options(config).acl);
    warnings.extend(open_root(config, root));
    warnings
}

fn of_config(config: &Config, mode: &dyn Fn(&Path) -> Option<u32>) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(open_quorum(config));
    for (what, path) in secret_files(config) {
        if let Some(mode) = mode(path).filter(|mode| mode & OTHERS != 0) {
            let path = path.display();
            warnings.push(format!(
                "{path} holds {what} and every user of this machine may read or write it (mode {:03o}); take that away \
                 with: chmod o-rwx {path}",
                mode & 0o777
            ));
        }
    }
    warnings.extend(written_passwords(config));
    warnings
}

/// Anybody who reaches a client port may change everything.
fn open_root(config: &Config, root_is_open: bool) -> Option<String> {
    let ports = [
        (config.client_port, &config.client_port_address),
        (config.secure_client_port, &config.secure_client_port_address),
    ];
    let reachable = |(port, host): &(Option<u16>, &Option<String>)| {
        port.is_some_and(|port| !is_loopback(host.as_deref(), port))
    };
    if !root_is_open || config.enforce_auth_enabled || !ports.iter().any(reachable) {
        return None;
    }
    Some(if config.skip_acl {
        "skipACL=yes: whoever reaches a client port may read and change every node; remove the key, or listen on \
         127.0.0.1 (clientPortAddress)"
            .to_owned()
    } else {
        "the node / gives world:anyone:cdrwa, so whoever reaches a client port may create nodes and change this list; \
         set another one with setAcl, demand logins (enforce.auth.enabled), or listen on 127.0.0.1 (clientPortAddress)"
            .to_owned()
    })
}

/// Anybody who reaches the ports of members may be taken for one.
fn open_quorum(config: &Config) -> Option<String> {
    if !config.is_distributed() || config.ensemble.peers.as_ref().is_some_and(|peers| peers.requires) {
        return None;
    }
    let is_set =
        |key: &str| config.raw.iter().any(|(one, value)| one == key && value.eq_ignore_ascii_case("true"));
    if is_set("sslQuorum") {
        return None;
    }
    let me = config.server_id.and_then(|id| config.membership.servers.get(&id))?;
    let is_local = me.addresses.iter().all(|address| is_loopback(Some(&address.host), address.quorum_port));
    if is_local && !config.ensemble.listens_on_all {
        return None;
    }
    Some(format!(
        "server.{}: whoever reaches the quorum and election ports may be taken for a member and change everything; \
         demand logins of members (quorum.auth.enableSasl, quorum.auth.learnerRequireSasl and \
         quorum.auth.serverRequireSasl), and let only members reach these ports",
        me.id
    ))
}

/// The files that hold secrets.
fn secret_files(config: &Config) -> Vec<(&'static str, &Path)> {
    let mut files = Vec::new();
    let of_clients = config.tls.iter().map(|tls| (&tls.options.key_store, tls.options.trust_store.as_ref()));
    let of_peers =
        config.peer_tls.iter().map(|tls| (&tls.options.options.key_store, Some(&tls.options.trust_store)));
    for (key_store, trust_store) in of_clients.chain(of_peers) {
        files.push(("the key of TLS", key_store.path.as_path()));
        for store in std::iter::once(key_store).chain(trust_store) {
            if let Password::InFile(path) = &store.password {
                files.push(("the password of a store", path.as_path()));
            }
        }
    }
    files.extend(config.login_file.iter().map(|path| ("passwords or the names of keytabs", path.as_path())));
    let peers = config.ensemble.peers.as_ref();
    let logins = config.sasl.login.iter().chain(peers.map(|peers| &peers.server));
    let of_logins = logins.filter_map(|login| match login {
        Login::Kerberos(kerberos) => Some(kerberos),
        Login::Digest(_) => None,
    });
    let own = peers.and_then(|peers| match &peers.learner {
        Own::Kerberos(kerberos) => Some(kerberos),
        Own::Digest(..) => None,
    });
    let keytabs = of_logins.chain(own).filter_map(|kerberos| kerberos.keytab.as_deref());
    files.extend(keytabs.map(|path| ("keys of Kerberos", path)));
    files.sort_by_key(|(_, path)| *path);
    files.dedup_by_key(|(_, path)| *path);
    files
}

/// Passwords that stand in the file itself.
fn written_passwords(config: &Config) -> Option<String> {
    let is_one = |key: &&str| key.starts_with("ssl.") && key.ends_with(".password");
    let keys: Vec<_> = config.raw.iter().map(|(key, _)| key.as_str()).filter(is_one).collect();
    let first = keys.first()?;
    Some(format!(
        "the configuration file holds passwords: {}; write each into a file that only this user may read, and name that \
         file in their place ({first}Path)",
        keys.join(", ")
    ))
}

fn is_loopback(host: Option<&str>, port: u16) -> bool {
    resolve(host, port).is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

/// Whether a client that has proven nothing has every permission on the root.
fn root_is_open(tree: &Tree, rules: AclRules) -> bool {
    let nobody = Identities::default();
    let all = [perms::READ, perms::WRITE, perms::CREATE, perms::DELETE, perms::ADMIN];
    tree.get("/")
        .is_some_and(|root| all.iter().all(|wanted| tree.acls().permits(root.acl(), *wanted, &nobody, rules)))
}

#[expect(clippy::disallowed_methods, reason = "files of the configuration, not of the server's directories")]
fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|found| found.permissions().mode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::tree::OwnerRules;

    const TLS: &str = "secureClientPort=1\nssl.keyStore.location=/k.p12\nssl.trustStore.location=/t.p12\n";

    fn config(lines: &str) -> Config {
        let text = format!("dataDir=/nowhere/d\nclientPort=1\n{lines}");
        Config::parse("zoo.cfg", text.as_bytes(), &Environment::default()).unwrap()
    }

    /// All but the root's.
    fn warnings(config: &Config, mode: u32) -> Vec<String> {
        of_config(config, &|_| Some(mode))
    }

    #[test]
    fn an_open_root_is_told_where_strangers_reach_it() {
        let told = |lines: &str| open_root(&config(lines), true).is_some();
        assert!(told("") && told("clientPortAddress=0.0.0.0\n") && told("clientPortAddress=::\n"));
        assert!(!told("clientPortAddress=127.0.0.1\n") && !told("clientPortAddress=[::1]\n"));
        assert!(told(
            "clientPortAddress=127.0.0.1\nsecureClientPort=1\nssl.keyStore.location=/k.p12\nssl.clientAuth=none\n"
        ));
        assert!(!told("enforce.auth.enabled=true\nenforce.auth.schemes=digest\n"));
        assert!(open_root(&config(""), false).is_none());
        assert!(open_root(&config("skipACL=yes\n"), true).unwrap().starts_with("skipACL=yes"));
    }

    #[test]
    fn the_root_of_a_new_tree_is_open() {
        let tree = Tree::new(OwnerRules::default());
        assert!(root_is_open(&tree, AclRules::default()));
    }

    #[test]
    fn ports_of_members_are_told_where_strangers_reach_them() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("myid"), "1").unwrap();
        let member = |host: &str, lines: &str| {
            let servers = format!("server.1={host}:2:3\nserver.2={host}:4:5\nserver.3={host}:6:7\n");
            let limits = format!("dataDir={}\ninitLimit=5\nsyncLimit=2", home.path().display());
            let config = config(&format!("{limits}\n{servers}{lines}"));
            open_quorum(&config)
        };
        assert!(member("10.1.2.3", "").unwrap().starts_with("server.1: "));
        assert!(member("127.0.0.1", "").is_none());
        assert!(member("127.0.0.1", "quorumListenOnAllIPs=true\n").is_some());
        let stores = "ssl.quorum.keyStore.location=/k.p12\nssl.quorum.trustStore.location=/t.p12\n";
        assert!(member("10.1.2.3", &format!("sslQuorum=true\n{stores}")).is_none());
        assert!(open_quorum(&config("")).is_none());
    }

    #[test]
    fn files_with_secrets_that_others_may_read_are_told_each_once() {
        let secure = config(&format!("{TLS}ssl.keyStore.passwordPath=/p\nssl.trustStore.passwordPath=/p\n"));
        let told = warnings(&secure, 0o100_644);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("/k.p12 ") && told[0].contains("chmod o-rwx /k.p12"), "{told:?}");
        assert!(told[1].starts_with("/p ") && told[1].contains("mode 644"), "{told:?}");
        for mode in [0o100_600, 0o100_640, 0o100_400] {
            assert!(warnings(&secure, mode).is_empty(), "{mode:o}");
        }
        assert!(of_config(&secure, &|_| None).is_empty());
    }

    #[test]
    fn login_configurations_and_keytabs_are_files_with_secrets() {
        let mut with = config("");
        with.login_file = Some("/jaas".into());
        with.sasl.login = Some(Login::Kerberos(crate::config::sasl::Kerberos {
            place: String::new(),
            keytab: Some("/keytab".into()),
            principal: None,
            machine: crate::config::krb5::Krb5Conf::default(),
            options: Vec::new(),
        }));
        let told = warnings(&with, 0o604);
        assert!(
            matches!(told.as_slice(), [one, two] if one.starts_with("/jaas ") && two.starts_with("/keytab "))
        );
    }

    #[test]
    fn passwords_in_the_file_are_told_in_one_line_that_does_not_show_them() {
        let told = warnings(&config("ssl.keyStore.password=canary\nssl.trustStore.password=canary\n"), 0o600);
        let [one] = told.as_slice() else { panic!("{told:?}") };
        assert!(one.contains("ssl.keyStore.password, ssl.trustStore.password"), "{one}");
        assert!(one.contains("ssl.keyStore.passwordPath") && !one.contains("canary"), "{one}");
        assert!(warnings(&config("ssl.keyStore.passwordPath=/p\n"), 0o600).is_empty());
    }
}
