//! The classes of the reference in an archive that virtual machines map instead of loading and verifying them, made once
//! by one that is trained for it: each start takes a third less of the processor.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::artifacts::{self, REFERENCE};
use crate::certificates::{Certificates, PASSWORD};
use crate::sasl::{OF_CLIENT, PROVIDER, client_login};
use crate::server::free_port;

const ARCHIVE: &str = "classes.jsa";

/// What a virtual machine with the class path of a release is started with: nothing where it has no archive, which are
/// other releases than [`REFERENCE`], and all where none can be made. One that does not fit, as after another Java was
/// installed, is passed over by the virtual machine.
#[must_use]
pub fn flags(version: &str) -> &'static [String] {
    static FLAGS: OnceLock<Vec<String>> = OnceLock::new();
    if version != REFERENCE || !artifacts::installed("openssl") {
        return &[];
    }
    FLAGS.get_or_init(|| {
        archive(version).unwrap_or_else(|why| {
            eprintln!("virtual machines start without an archive of classes: {why:#}");
            Vec::new()
        })
    })
}

fn archive(version: &str) -> Result<Vec<String>> {
    let recipe = [&include_bytes!("class_data.rs")[..], &fs::read(training()).context("read the training")?];
    let name = format!("class-data-{version}-{:016x}", artifacts::checksum(&recipe.concat()));
    let archive = artifacts::once(&name, |dir| {
        let archive = dir.join(ARCHIVE);
        let certificates = Certificates::new()?;
        let (plain, secure) = (free_port()?.to_string(), free_port()?.to_string());
        let home = certificates.dir();
        let login = client_login(home, "jaas.conf", "bob", "bobsecret")?;
        let server = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_bob=\"bobsecret\"; };\n";
        let jaas = home.join("jaas.conf");
        let client = fs::read_to_string(&jaas).context("read a login configuration")?;
        fs::write(&jaas, client + server).context("write a login configuration")?;
        let config = home.join("zoo.cfg");
        let mut lines = vec![
            format!("dataDir={}\nclientPort={plain}\nsecureClientPort={secure}", home.join("data").display()),
            "admin.enableServer=false".to_owned(),
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
        ];
        lines.extend(certificates.settings("server.p12", "trust.p12"));
        fs::write(&config, lines.join("\n")).context("write a zoo.cfg")?;
        let mut java = Command::new("java");
        java.arg(format!("-XX:ArchiveClassesAtExit={}", archive.display()))
            .args(["-Xlog:disable", "-XX:+UseSerialGC"]);
        java.arg(format!("-Dlogback.configurationFile={}/logback.xml", artifacts::logging()));
        java.args(OF_CLIENT).arg(format!("-D{}={}", PROVIDER.0, PROVIDER.1)).arg(login);
        java.args(["-cp", &artifacts::jars_without_line_editor(version)?]).arg(training()).arg(config);
        java.args([&plain, &secure]).arg(home).arg(PASSWORD);
        artifacts::run(java.current_dir(home)).map(drop)
    })?;
    Ok(vec!["-Xlog:disable".to_owned(), format!("-XX:SharedArchiveFile={}", archive.join(ARCHIVE).display())])
}

fn training() -> std::path::PathBuf {
    artifacts::package_dir().join("clients/java/training/Training.java")
}
