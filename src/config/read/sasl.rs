//! The part of reading that is about SASL: login configurations, and the keys around them (reference:
//! `ServerCnxnFactory.configureSaslLogin`, `SaslServerCallbackHandler`, `KerberosName`).

use std::path::{Path, PathBuf};

use super::{Reading, Result as Read};
use crate::config::jaas::{self, Jaas, Module};
use crate::config::krb5::Krb5Conf;
use crate::config::sasl::{Kerberos, Login, Names, Own, Peers, Sasl};
use crate::secret::Secret;

const DIGEST_MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";
const KERBEROS_MODULES: &[&str] =
    &["com.sun.security.auth.module.Krb5LoginModule", "com.ibm.security.auth.module.Krb5LoginModule"];
/// Where the JDK looks for the realm of this machine unless it is told.
const KERBEROS_CONFIGURATION: &str = "/etc/krb5.conf";

/// A login configuration and the name of its file.
pub(super) struct LoginFile {
    pub(super) name: String,
    jaas: Jaas,
}

impl Reading<'_> {
    /// Everything about SASL for clients. What is wrong with the login configuration is kept: it is the start of the
    /// server that fails then, and not the reading of its configuration.
    pub(super) fn sasl(&mut self, is_scheme: bool) -> Sasl {
        let file = self.login_file();
        let (mut login, mut problem) = match file.and_then(|file| self.server_login(file.as_ref())) {
            Ok(login) => (login, None),
            Err(problem) => (None, Some(problem)),
        };
        let configured =
            login.as_ref().map_or_else(|| Ok(Krb5Conf::default()), |_| self.kerberos_configuration());
        let configured = configured.unwrap_or_else(|error| {
            // DIGEST-MD5 needs none of it.
            if matches!(login, Some(Login::Kerberos(_))) {
                problem = Some(error);
            }
            Krb5Conf::default()
        });
        let default_realm = configured.default_realm.clone().unwrap_or_default();
        if let Some(Login::Kerberos(login)) = &mut login {
            login.machine = configured;
        }
        let is_true = |key: &str| self.source.property(key) == Some("true");
        if is_true("requireKerberosConfig") && login.is_some() && default_realm.is_empty() {
            problem = Some(
                "requireKerberosConfig=true: no default realm is configured; set default_realm in \
                 /etc/krb5.conf, or name another file with -Djava.security.krb5.conf"
                    .into(),
            );
        }
        Sasl {
            is_scheme,
            login,
            problem,
            super_password: self.words("SASLAuthenticationProvider.superPassword").map(Secret::new),
            super_users: self.super_users(),
            keeps_failed_clients: self.source.flag("allowSaslFailedClients", false),
            anybody: self.words("letAnySaslUserDoX"),
            names: Names {
                rules: self.words("security.auth_to_local").unwrap_or_else(|| "DEFAULT".into()),
                default_realm,
                removes_host: is_true("kerberos.removeHostFromPrincipal"),
                removes_realm: is_true("kerberos.removeRealmFromPrincipal"),
            },
        }
    }

    /// `superUser`, `superUser.1`, and so on.
    fn super_users(&self) -> Vec<String> {
        let is_one = |key: &str| {
            let key = key.strip_prefix("zookeeper.").unwrap_or(key);
            key.strip_prefix("superUser").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let found = self.source.properties_like("superUser*");
        found.into_iter().filter(|(key, id)| is_one(key) && !id.is_empty()).map(|(_, id)| id).collect()
    }

    /// The file that `java.security.auth.login.config` names.
    ///
    /// # Errors
    /// It cannot be read, or is malformed.
    pub(super) fn login_file(&self) -> Result<Option<LoginFile>, String> {
        const KEY: &str = "java.security.auth.login.config";
        let Some(written) = self.source.property(KEY) else { return Ok(None) };
        let property = |name: &str| self.java_property(name);
        let wrong = |problem: String| format!("{KEY}={written}: {problem}");
        // Two equals signs say that no other configuration counts; there is no other one here.
        let named = jaas::expand(written.strip_prefix('=').unwrap_or(written), &property).map_err(wrong)?;
        let path = file_of(&named).map_err(wrong)?;
        let name = path.display().to_string();
        let read = std::fs::read(&path).map(Secret::new);
        let text = read.map_err(|error| {
            format!("{KEY}: {name} cannot be read: {error}; correct the path, or the file's permissions")
        })?;
        let jaas = Jaas::parse(text.expose(), &property)
            .map_err(|error| format!("{name} line {}: {}", error.line, error.problem))?;
        Ok(Some(LoginFile { name, jaas }))
    }

    /// How members prove to each other who they are, or what is wrong with the login configuration (reference:
    /// `QuorumPeer.initialize`).
    ///
    /// # Errors
    /// A key has a value that it cannot have.
    pub(super) fn peers(&self) -> Read<Result<Option<Peers>, String>> {
        let is_set = |key: &str| self.source.boolean(key, false);
        if !is_set("quorum.auth.enableSasl")? {
            return Ok(Ok(None));
        }
        let (requires, proves) =
            (is_set("quorum.auth.serverRequireSasl")?, is_set("quorum.auth.learnerRequireSasl")?);
        let section = |key: &str, default| self.source.text(key).unwrap_or(default);
        let (server_section, learner_section) = (
            section("quorum.auth.server.saslLoginContext", "QuorumServer"),
            section("quorum.auth.learner.saslLoginContext", "QuorumLearner"),
        );
        let logins = || {
            let file = self.login_file()?.ok_or(
                "quorum.auth.enableSasl=true needs a login configuration; name one with \
                 -Djava.security.auth.login.config=FILE",
            )?;
            let missing = |section: &str| {
                format!("{} has no section {section}, which quorum.auth.enableSasl=true needs", file.name)
            };
            Ok((
                file.login(server_section)?.ok_or_else(|| missing(server_section))?,
                file.own(learner_section)?.ok_or_else(|| missing(learner_section))?,
            ))
        };
        let is_fips =
            self.source.property("fips-mode").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Ok(logins().and_then(|(mut server, mut learner)| {
            if let Login::Kerberos(login) = &mut server {
                login.machine = self.kerberos_configuration()?;
            }
            if let Own::Kerberos(login) = &mut learner {
                login.machine = self.kerberos_configuration()?;
            }
            let is_kerberos =
                matches!(server, Login::Kerberos(_)) || matches!(learner, Own::Kerberos(_));
            if is_kerberos && self.source.flag("kerberos.canonicalizeHostNames", false) {
                return Err(
                    "kerberos.canonicalizeHostNames=true: Oxkeeper asks no name server for the name of an address; write \
                     the hosts into the server.N lines as the principals of members have them, and remove the key"
                        .into(),
                );
            }
            if is_fips && proves && matches!(learner, Own::Digest(..)) {
                return Err(format!(
                    "fips-mode=true forbids the login by DIGEST-MD5 that the section {learner_section} asks for; set \
                     fips-mode=false, or use Kerberos"
                ));
            }
            let service = self.source.text("quorum.auth.kerberos.servicePrincipal").unwrap_or("zkquorum/localhost");
            let service_realm = self.source.property("server.realm").map(str::to_owned);
            Ok(Some(Peers { server, learner, service: service.to_owned(), service_realm, requires, proves }))
        }))
    }

    fn server_login(&mut self, file: Option<&LoginFile>) -> Result<Option<Login>, String> {
        let set = self.words("sasl.serverconfig");
        let section = set.as_deref().unwrap_or("Server");
        let Some(file) = file else {
            if let Some(section) = set {
                self.source.warnings.push(format!(
                    "sasl.serverconfig={section}: no login configuration has this section, so SASL is not offered; \
                     name one with -Djava.security.auth.login.config=FILE"
                ));
            }
            return Ok(None);
        };
        let login = file.login(section)?;
        if login.is_none() {
            // The reference says nothing.
            self.source.warnings.push(format!(
                "{} has no section {section}, so SASL is not offered to clients; it has: {}; sasl.serverconfig names \
                 another one",
                file.name,
                file.jaas.names()
            ));
        }
        Ok(login)
    }

    /// A system property of a JVM, as far as there is one here.
    fn java_property(&self, name: &str) -> Option<String> {
        if let Some(value) = self.source.any_property(name) {
            return Some(value.to_owned());
        }
        match name {
            "user.home" => std::env::var("HOME").ok(),
            "user.name" => std::env::var("USER").ok(),
            "user.dir" => std::env::current_dir().ok().map(|path| path.display().to_string()),
            "java.io.tmpdir" => Some("/tmp".into()),
            "file.separator" => Some("/".into()),
            _ => None,
        }
    }

    /// What the machine's Kerberos configuration says. Without a file, nothing.
    ///
    /// # Errors
    /// The file that was named cannot be read, or one cannot be understood.
    fn kerberos_configuration(&self) -> Result<Krb5Conf, String> {
        let named = self.source.any_property("java.security.krb5.conf");
        let path = Path::new(named.unwrap_or(KERBEROS_CONFIGURATION));
        let is_needed = named.is_some() || path.exists();
        let mut found = if is_needed { Krb5Conf::load(path)? } else { Krb5Conf::default() };
        if let Some(realm) = self.source.any_property("java.security.krb5.realm") {
            found.default_realm = Some(realm.to_owned());
            if let Some(hosts) = self.source.any_property("java.security.krb5.kdc") {
                found.kdcs = hosts.split(':').map(|host| (realm.to_owned(), host.to_owned())).collect();
            }
        }
        Ok(found)
    }
}

impl LoginFile {
    /// The modules of a section. None where it is missing, or empty.
    ///
    /// # Errors
    /// It names a login module that is not known here.
    fn modules(&self, section: &str) -> Result<Option<&[Module]>, String> {
        let Some(modules) = self.jaas.section(section) else { return Ok(None) };
        let place = format!("{}: section {section}", self.name);
        let is_kerberos = |module: &&Module| KERBEROS_MODULES.contains(&module.class.as_str());
        if let Some(module) = modules.iter().find(|one| one.class != DIGEST_MODULE && !is_kerberos(one)) {
            return Err(format!(
                "{place} names the login module {}, which is not known here; there are {DIGEST_MODULE} and {}",
                module.class,
                KERBEROS_MODULES.first().unwrap_or(&"")
            ));
        }
        Ok(Some(modules))
    }

    /// How others log in by what a section says. None where it is missing, or empty.
    ///
    /// # Errors
    /// It names a login module that is not known here.
    fn login(&self, section: &str) -> Result<Option<Login>, String> {
        let Some(modules) = self.modules(section)? else { return Ok(None) };
        if let Some(kerberos) = self.kerberos(section, modules) {
            return Ok(Some(Login::Kerberos(kerberos)));
        }
        let users = modules
            .iter()
            .flat_map(Module::options)
            .filter_map(|(name, password)| Some((name.strip_prefix("user_")?.to_owned(), password.clone())));
        Ok(Some(Login::Digest(users.collect())))
    }

    /// By what this server proves who it is.
    ///
    /// # Errors
    /// The section has no name or no password, or names a login module that is not known here.
    fn own(&self, section: &str) -> Result<Option<Own>, String> {
        let Some(modules) = self.modules(section)? else { return Ok(None) };
        if let Some(kerberos) = self.kerberos(section, modules) {
            return Ok(Some(Own::Kerberos(kerberos)));
        }
        let Some(module) = modules.iter().find(|module| module.option("username").is_some()) else {
            return Err(format!("{}: section {section} has no username", self.name));
        };
        let password = module.option("password").cloned();
        let password = password.ok_or_else(|| format!("{}: section {section} has no password", self.name))?;
        Ok(Some(Own::Digest(module.text("username").unwrap_or_default().to_owned(), password)))
    }

    fn kerberos(&self, section: &str, modules: &[Module]) -> Option<Kerberos> {
        let module = modules.iter().find(|module| KERBEROS_MODULES.contains(&module.class.as_str()))?;
        let text = |name: &str| module.text(name).map(str::to_owned);
        Some(Kerberos {
            place: format!("{}: section {section}", self.name),
            keytab: text("keyTab").map(PathBuf::from),
            principal: text("principal"),
            machine: Krb5Conf::default(),
            options: module.options().filter_map(|(name, _)| Some((name.to_owned(), text(name)?))).collect(),
        })
    }
}

/// The path that is named, by itself or as a URL.
fn file_of(named: &str) -> Result<PathBuf, String> {
    let scheme = named.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    let Some(rest) = named.get(5..).filter(|_| scheme.is_some_and(|one| one.eq_ignore_ascii_case("file")))
    else {
        return match scheme {
            Some(scheme @ ("http" | "https" | "ftp" | "jar")) => {
                Err(format!("a login configuration is not read from {scheme}; name a file"))
            }
            _ => Ok(PathBuf::from(named)),
        };
    };
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => rest,
    };
    // The JDK tries the path as it is written where the one that is meant is not there.
    let decoded = PathBuf::from(percent_decoded(path));
    Ok(if decoded.exists() { decoded } else { Path::new(path).to_owned() })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = escaped.and_then(|_| after.get(2..)).unwrap_or(after);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Config, Environment};

    const BASE: &str = "dataDir=/d\nclientPort=1\n";

    fn config(lines: &str, flags: &str) -> Config {
        let environment = Environment { jvmflags: flags.to_owned(), ..Environment::default() };
        Config::parse("zoo.cfg", format!("{BASE}{lines}").as_bytes(), &environment).expect("it can be read")
    }

    /// The settings with this login configuration.
    fn with(jaas: &str, lines: &str, flags: &str) -> (Sasl, Vec<String>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("jaas conf");
        fs::write(&path, jaas).expect("it can be written");
        let url = format!("file://{}", path.display().to_string().replace(' ', "%20"));
        let config = config(lines, &format!("-Djava.security.auth.login.config={url} {flags}"));
        (config.sasl, config.warnings)
    }

    const USERS: &str = "Server {\n org.apache.zookeeper.server.auth.DigestLoginModule required\n \
                         user_bob=\"canary\" user_super=\"s\" username=\"x\";\n};\n";

    #[test]
    fn a_section_has_users_with_their_passwords() {
        let (sasl, warnings) = with(USERS, "", "");
        let users = vec![("bob".to_owned(), "canary".into()), ("super".to_owned(), "s".into())];
        assert_eq!((sasl.login, sasl.problem, warnings), (Some(Login::Digest(users)), None, Vec::new()));
    }

    #[test]
    fn a_section_has_a_keytab_and_a_principal() {
        let text = "Other { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true\n \
                    keyTab=\"${/}etc${/}zk.keytab\" principal=\"zookeeper/h@X\"; };";
        let (sasl, _) = with(text, "sasl.serverconfig=Other\n", "");
        let Some(Login::Kerberos(login)) = sasl.login else { panic!("{sasl:?}") };
        assert_eq!(login.keytab.as_deref(), Some(Path::new("/etc/zk.keytab")));
        assert_eq!(login.principal.as_deref(), Some("zookeeper/h@X"));
        assert!(login.options.contains(&("useKeyTab".into(), "true".into())));
        assert!(login.place.ends_with("jaas conf: section Other"), "{}", login.place);
    }

    #[test]
    fn what_is_wrong_with_a_login_configuration_is_named() {
        for (jaas, flags, says) in [
            ("Server { x required; };", "", "section Server names the login module x"),
            ("Server {\n canary", "", "line 2: a flag"),
            (
                USERS,
                "-Dzookeeper.requireKerberosConfig=true -Djava.security.krb5.conf=/nope",
                "default_realm",
            ),
        ] {
            let problem = with(jaas, "", flags).0.problem.expect(jaas);
            assert!(problem.contains(says) && !problem.contains("{\n canary"), "{problem}");
        }
        for (named, says) in [
            ("/nope/jaas.conf", "/nope/jaas.conf cannot be read: No such file"),
            ("file:/nope/jaas.conf", "/nope/jaas.conf cannot be read"),
            ("=/nope", "/nope cannot be read"),
            ("https://x/y", "not read from https"),
            ("${nope}/x", "the property nope is not set"),
        ] {
            let problem = config("", &format!("-Djava.security.auth.login.config={named}")).sasl.problem;
            assert!(problem.as_ref().is_some_and(|problem| problem.contains(says)), "{named}: {problem:?}");
        }
    }

    /// The reference starts without SASL and says nothing.
    #[test]
    fn a_section_that_is_missing_is_a_warning() {
        for jaas in ["Client { m required; };", "Server {}; Client { m required; };"] {
            let (sasl, warnings) = with(jaas, "", "");
            assert_eq!((sasl.login, sasl.problem), (None, None));
            assert!(warnings.iter().any(|one| one.contains("has no section Server")), "{warnings:?}");
        }
        assert!(config("sasl.serverconfig=X\n", "").warnings.iter().any(|one| one.contains("section")));
        assert_eq!(config("", "").sasl.login, None);
    }

    #[test]
    fn the_keys_around_it_are_read() {
        let sasl = config(
            "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\nsuperUser=a\n\
             superUser.2=b\nsuperUserX=c\nallowSaslFailedClients=true\nletAnySaslUserDoX=x\n\
             kerberos.removeHostFromPrincipal=true\nkerberos.removeRealmFromPrincipal=TRUE\n\
             SASLAuthenticationProvider.superPassword=canary\n",
            "-Dzookeeper.superUser.3=d",
        )
        .sasl;
        assert!(sasl.is_scheme && sasl.keeps_failed_clients);
        assert_eq!(sasl.super_users, ["a", "b", "d"]);
        assert_eq!((sasl.anybody.as_deref(), sasl.super_password), (Some("x"), Some("canary".into())));
        assert!(sasl.names.removes_host && !sasl.names.removes_realm, "only true in small letters counts");
        assert_eq!(sasl.names.rules, "DEFAULT");
    }

    #[test]
    fn members_log_in_by_sections_of_their_own() {
        let peers = "QuorumServer { org.apache.zookeeper.server.auth.DigestLoginModule required user_one=\"s\"; };\n\
                     Own { org.apache.zookeeper.server.auth.DigestLoginModule required username=\"one\" \
                     password=\"s\"; };\n";
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("jaas");
        let with = |jaas: &str, lines: &str| {
            fs::write(&path, jaas).expect("it can be written");
            let flags = format!("-Djava.security.auth.login.config={}", path.display());
            config(&format!("quorum.auth.enableSasl=true\n{lines}"), &flags).ensemble
        };
        let own = "quorum.auth.learner.saslLoginContext=Own\nquorum.auth.learnerRequireSasl=true\n";
        let found = with(peers, own).peers.expect("they are there");
        assert_eq!(found.server, Login::Digest(vec![("one".to_owned(), "s".into())]));
        assert_eq!(found.learner, Own::Digest("one".into(), "s".into()));
        assert!(found.proves && !found.requires);
        for (jaas, lines, says) in [
            (peers, "", "has no section QuorumLearner"),
            ("", own, "has no section QuorumServer"),
            (&peers.replace("username", "user_name"), own, "section Own has no username"),
            (&peers.replace("password", "pass"), own, "section Own has no password"),
            (peers, &format!("{own}fips-mode=true\n"), "fips-mode=true forbids"),
        ] {
            let problem = with(jaas, lines).peers_problem.expect(says);
            assert!(problem.contains(says), "{problem}");
        }
        let without = config("quorum.auth.enableSasl=true\n", "").ensemble.peers_problem;
        assert!(without.is_some_and(|problem| problem.contains("needs a login configuration")));
        assert_eq!(config("", "").ensemble.peers, None);
    }

    #[test]
    fn the_realm_of_the_machine_is_in_its_kerberos_configuration() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("krb5.conf");
        fs::write(
            &file,
            "[realms]\ndefault_realm = NO\n[libdefaults]\n default_realm = A.B\nclockskew = 9\n",
        )
        .expect("it can be written");
        let flag = format!("-Djava.security.krb5.conf={}", file.display());
        let (sasl, _) = with(USERS, "", &flag);
        assert_eq!(sasl.names.default_realm, "A.B");
        let kerberos = "Server { com.sun.security.auth.module.Krb5LoginModule required; };";
        let (sasl, _) = with(kerberos, "", &flag);
        let Some(Login::Kerberos(login)) = &sasl.login else { panic!("{sasl:?}") };
        assert_eq!((sasl.problem, login.machine.clock_skew), (None, Some(9)));
        fs::write(&file, "[libdefaults\n").expect("it can be written");
        assert_eq!(with(USERS, "", &flag).0.problem, None, "nobody needs it");
        let problem = with(kerberos, "", &flag).0.problem.expect("it is needed");
        assert!(problem.contains("krb5.conf: line 1: the section's name"), "{problem}");
        let (sasl, _) = with(USERS, "", "-Djava.security.krb5.realm=R");
        assert_eq!(sasl.names.default_realm, "R");
    }
}
