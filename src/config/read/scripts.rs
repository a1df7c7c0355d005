//! Flags that the reference's start script takes from files beside the configuration (`zkEnv.sh`). No script is run here,
//! so flags that stand in one of them alone are told of: a login configuration, for instance, must not get lost unsaid.

#![expect(
    clippy::disallowed_methods,
    reason = "what stands beside the configuration file is read with it, before there is a disk"
)]

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::keys::{self, Effect};
use crate::config::source::{Environment, system_properties};

const SCRIPTS: [&str; 2] = ["java.env", "zookeeper-env.sh"];

/// One remark for each script beside the configuration file with flags that mean something here and are not in the
/// environment.
pub(super) fn remarks(config_file: &Path, environment: &Environment) -> Vec<String> {
    let given: BTreeSet<String> = [&environment.server_jvmflags, &environment.jvmflags]
        .into_iter()
        .flat_map(|flags| system_properties(flags).map(|(name, _)| name))
        .collect();
    let mut remarks = Vec::new();
    for script in SCRIPTS {
        let path = config_file.with_file_name(script);
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let missing: Vec<_> =
            flags_in(&text).into_iter().filter(|name| !given.contains(name) && counts(name)).collect();
        if !missing.is_empty() {
            remarks.push(format!(
                "{} sets {}, and no script is run here: have its JVMFLAGS and SERVER_JVMFLAGS in the environment of \
                 this process, or the keys in {}",
                path.display(),
                missing.iter().map(|name| format!("-D{name}")).collect::<Vec<_>>().join(" "),
                config_file.display()
            ));
        }
    }
    remarks
}

/// Whether setting a property changes something.
fn counts(property: &str) -> bool {
    keys::find_property(property).is_some_and(|key| key.effect == Effect::Now)
}

/// The names of the `-D` flags in the lines of a shell script that are no comments.
fn flags_in(script: &str) -> BTreeSet<String> {
    let lines = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || "\"'=;".contains(c)));
    words.filter_map(|word| word.strip_prefix("-D")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Config;

    const LOGIN: &str = "-Djava.security.auth.login.config=/etc/zookeeper/jaas.conf";

    #[test]
    fn flags_in_a_script_beside_the_configuration_are_told_of_unless_they_are_in_the_environment() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("zoo.cfg");
        let told = |script: &str, server_jvmflags: &str| {
            fs::write(&path, format!("dataDir={}\nclientPort=1\n", home.path().display())).expect("written");
            fs::write(home.path().join("java.env"), script).expect("written");
            let server_jvmflags = server_jvmflags.to_owned();
            let environment = Environment { server_jvmflags, ..Environment::default() };
            let config = Config::load(&path, &environment).expect("it can be read");
            config
                .warnings
                .into_iter()
                .filter(|warning| warning.contains("no script is run"))
                .collect::<Vec<_>>()
        };
        let script = format!(
            "# -Dzookeeper.forceSync=no\nexport SERVER_JVMFLAGS=\"-Xmx1g {LOGIN} -Dzookeeper.skipACL=yes \
             -Dzookeeper.kinit=/x -Down=canary\"\n"
        );
        let [remark] = &told(&script, "")[..] else { panic!("one remark") };
        assert!(
            remark.contains("java.env sets -Djava.security.auth.login.config -Dzookeeper.skipACL, and"),
            "{remark}"
        );
        let [remark] = &told(&script, "-Dzookeeper.skipACL=no")[..] else { panic!("one remark") };
        assert!(remark.contains("sets -Djava.security.auth.login.config, and"), "{remark}");
        assert_eq!(told(&script, &format!("-Dzookeeper.skipACL=yes {LOGIN}")), [""; 0]);
        assert_eq!(told("export SERVER_JVMFLAGS='-Xmx1g'\n", ""), [""; 0]);
    }
}
