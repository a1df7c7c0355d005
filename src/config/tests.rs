//! What a configuration file means, and what is said about one that is wrong.

use super::keys::{Effect, KEYS};
use super::*;

const SMALLEST: &str = "dataDir=/data\nclientPort=2181\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("zoo.cfg", text.as_bytes(), &Environment::default())
}

fn with(lines: &str) -> Config {
    parse(&format!("{SMALLEST}{lines}")).unwrap()
}

#[track_caller]
fn refused(text: &str, message: &str) {
    assert_eq!(parse(text).unwrap_err().to_string(), message);
}

#[test]
fn the_smallest_file_gives_the_defaults_of_the_reference() {
    let config = with("");
    assert_eq!(config.data_log_dir, config.data_dir);
    assert_eq!((config.client_port, config.client_port_address.as_deref()), (Some(2181), None));
    assert_eq!((config.tick_time_ms, config.max_client_cnxns, config.max_cnxns), (3000, 60, 0));
    assert_eq!((config.min_session_timeout_ms, config.max_session_timeout_ms), (6000, 60_000));
    assert_eq!((config.snap_count, config.prealloc_size_bytes), (100_000, 64 * 1024 * 1024));
    assert_eq!(config.snap_size_limit_bytes, Some(4 * 1024 * 1024 * 1024));
    assert_eq!(config.txn_log_size_limit_bytes, None);
    assert_eq!((config.jute_max_buffer_bytes, config.jute_max_buffer_extra_bytes), (1_048_575, 1_048_575));
    assert_eq!(config.four_letter_whitelist, ["srvr"]);
    assert_eq!((config.metrics, config.metrics_http_port), (MetricsProvider::Default, 7000));
    assert!(config.force_sync && config.digest_enabled && config.close_session_txn_enabled);
    assert!(!config.skip_acl && !config.extended_types_enabled && !config.is_distributed());
    assert_eq!(config.log_io, LogIo::Mmap);
    assert!(config.warnings.is_empty() && config.unknown_keys.is_empty() && config.without_effect.is_empty());
}

#[test]
fn what_the_file_says_counts() {
    let config = with(
        "tickTime=2000\nmaxSessionTimeout=90000\nskipACL=yes\nforceSync=no\nextendedTypesEnabled=true\n\
         preAllocSize=1024\nsnapCount=1\n4lw.commands.whitelist=ruok, mntr,*\njute.maxbuffer=0x400000\n\
         autopurge.purgeInterval=1\nautopurge.snapRetainCount=1\nlargeRequestThreshold=100\n\
         snapshot.compression.method=GZ\noxkeeper.log.io=plain\nmaxClientCnxns=-5\n\
         metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
         metricsProvider.httpPort=7001\n",
    );
    assert_eq!((config.min_session_timeout_ms, config.max_session_timeout_ms), (4000, 90_000));
    assert!(config.skip_acl && !config.force_sync && config.extended_types_enabled);
    assert_eq!((config.prealloc_size_bytes, config.snap_count), (1024 * 1024, 2));
    assert_eq!(config.four_letter_whitelist, ["ruok", "mntr", "*", "srvr"]);
    assert_eq!((config.jute_max_buffer_bytes, config.jute_max_buffer_extra_bytes), (4_194_304, 4_194_304));
    assert_eq!(config.autopurge_purge_interval_hours, Some(1));
    assert_eq!(config.autopurge_snap_retain_count, 3);
    assert_eq!(config.large_request_threshold_bytes, Some(100));
    assert_eq!(config.snapshot_compression, SnapshotCompression::Gzip);
    assert_eq!(config.log_io, LogIo::Plain);
    assert_eq!((config.metrics, config.metrics_http_port), (MetricsProvider::Prometheus, 7001));
    assert_eq!(config.max_client_cnxns, 0);
}

#[test]
fn clients_may_make_the_server_hold_128_mib_or_two_of_the_largest_requests() {
    for (line, expected) in [
        ("", 128 << 20),
        ("jute.maxbuffer=10485760\n", 128 << 20),
        ("jute.maxbuffer=134217728\n", 256 << 20),
        ("jute.maxbuffer=67108864\noxkeeper.clientMemoryBytes=5000000\n", 5_000_000),
        ("oxkeeper.clientMemoryBytes=1\n", 1 << 20),
    ] {
        let config = with(line);
        assert_eq!(config.client_memory_bytes, expected, "{line}");
    }
}

#[test]
fn a_bad_value_names_file_line_and_key() {
    let tick = "must be a whole number of milliseconds above 0";
    refused("# first\n\ntickTime=abc\n", &format!("zoo.cfg line 3: tickTime=abc: {tick}"));
    refused("tickTime=0\n", &format!("zoo.cfg line 1: tickTime=0: {tick}"));
    refused("tickTime=\n", &format!("zoo.cfg line 1: tickTime=: {tick}"));
    refused(
        "dataDir=/d\nclientPort=70000",
        "zoo.cfg line 2: clientPort=70000: must be a whole number from 0 to 65535",
    );
    refused("dataDir=/d\nmaxClientCnxns=x", "zoo.cfg line 2: maxClientCnxns=x: must be a whole number");
    refused("a=\\u00", "zoo.cfg line 1: \\u must be followed by four hexadecimal digits");
    refused(
        &format!("{SMALLEST}standaloneEnabled=yes"),
        "zoo.cfg line 3: standaloneEnabled=yes: must be 'true' or 'false'",
    );
    refused(
        &format!("{SMALLEST}localSessionsEnabled=1"),
        "zoo.cfg line 3: localSessionsEnabled=1: must be 'true' or 'false'",
    );
    refused(
        &format!("{SMALLEST}electionAlg=1"),
        "zoo.cfg line 3: electionAlg=1: must be 3, the only one there is",
    );
    refused(
        &format!("{SMALLEST}oxkeeper.log.io=odirect"),
        "zoo.cfg line 3: oxkeeper.log.io=odirect: must be mmap or plain",
    );
    refused(
        &format!("{SMALLEST}metricsProvider.className=com.example.Mine"),
        "zoo.cfg line 3: metricsProvider.className=com.example.Mine: is not a known provider",
    );
}

#[test]
fn a_missing_key_is_named() {
    refused("clientPort=2181", "zoo.cfg: dataDir: must be set");
    refused("dataDir=/d", "zoo.cfg: clientPort: must be set, or no client can connect");
    refused(
        "dataDir=/d\nclientPortAddress=::1",
        "zoo.cfg line 2: clientPortAddress=::1: is set but clientPort is not",
    );
    refused(
        &format!("{SMALLEST}enforce.auth.enabled=true"),
        "zoo.cfg: enforce.auth.schemes: must be set when enforce.auth.enabled=true",
    );
}

#[test]
fn session_timeouts_must_not_cross() {
    refused(
        &format!("{SMALLEST}minSessionTimeout=70000"),
        "zoo.cfg line 3: minSessionTimeout=70000: \
         minSessionTimeout (70000 ms) must not be above maxSessionTimeout (60000 ms)",
    );
    assert_eq!(with("minSessionTimeout=-1").min_session_timeout_ms, 6000);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let error = Config::load(std::path::Path::new("/no/such/zoo.cfg"), &Environment::default()).unwrap_err();
    assert!(error.to_string().starts_with("/no/such/zoo.cfg: cannot be read: "));
}

#[test]
fn unknown_and_ineffective_keys_are_listed() {
    let config = with("noSuchKey=1\nadmin.serverPort=8081\nnio.numWorkerThreads=4\n");
    assert_eq!(config.unknown_keys, ["noSuchKey"]);
    let expected = [("admin.serverPort", Effect::Later), ("nio.numWorkerThreads", Effect::Java)];
    let expected = expected.map(|(key, effect)| WithoutEffect { key: key.to_owned(), effect });
    assert_eq!(config.without_effect, expected);
    assert_eq!(config.raw[2], ("noSuchKey".to_owned(), "1".to_owned()));
    assert_eq!(
        config.remarks(),
        [
            "noSuchKey is not a known key; it is kept as the property zookeeper.noSuchKey",
            "admin.serverPort is read but has no effect in this version",
            "nio.numWorkerThreads tunes the Java server and has nothing to act on here",
        ]
    );
}

#[test]
fn flags_without_effect_are_named_too() {
    let environment = Environment {
        jvmflags:
            "-Dzookeeper.request_throttle_stall_time=4 -Dzookeeper.watchManagerName=X -Dzookeeper.skipAcl=yes \
                   -Djava.io.tmpdir=/x -Dzookeeper.skipACL=no -Dzookeeper.flushDelay=700"
                .into(),
        ..Environment::default()
    };
    let text = format!("{SMALLEST}flushDelay=600\n");
    let config = Config::parse("zoo.cfg", text.as_bytes(), &environment).unwrap();
    assert_eq!(
        config.remarks(),
        [
            "-Dzookeeper.skipAcl is not a known property",
            "flushDelay is read but has no effect in this version",
            "-Dzookeeper.request_throttle_stall_time is read but has no effect in this version",
            "-Dzookeeper.watchManagerName tunes the Java server and has nothing to act on here",
        ]
    );
}

#[test]
fn flags_of_the_environment_are_honoured() {
    let environment = Environment {
        jvmflags: "-Xmx512m -Djute.maxbuffer=2000000 -Dzookeeper.skipACL=yes -Dreadonlymode.enabled=true"
            .into(),
        ..Environment::default()
    };
    let config = Config::parse("zoo.cfg", SMALLEST.as_bytes(), &environment).unwrap();
    assert_eq!(config.jute_max_buffer_bytes, 2_000_000);
    assert!(config.skip_acl && config.readonly_mode_enabled);
    assert_eq!(config.four_letter_whitelist, ["isro", "srvr"]);
}

#[test]
fn one_server_line_is_still_a_standalone_server() {
    let config = with("server.1=localhost:2888:3888;2181\n");
    assert!(!config.is_distributed());
    assert_eq!(config.membership.servers.len(), 1);
}

#[test]
fn an_ensemble_is_read_in_full() {
    let data_dir = std::env::temp_dir().join(format!("oxkeeper-config-{}", std::process::id()));
    std::fs::create_dir_all(&data_dir).unwrap();
    std::fs::write(data_dir.join("myid"), "2\n").unwrap();
    let servers =
        "server.1=a:2888:3888\nserver.2=b:2888:3888;127.0.0.1:2191\nserver.3=c:2888:3888:observer\n";
    let text = format!("dataDir={}\n{servers}", data_dir.display());
    refused(&text, "zoo.cfg: initLimit: must be set in an ensemble");
    let config = parse(&format!("{text}initLimit=10\nsyncLimit=5\n")).unwrap();
    let crossed = parse(&format!("{text}initLimit=10\nsyncLimit=5\nclientPort=2181\n"));
    std::fs::remove_dir_all(&data_dir).unwrap();
    assert!(config.is_distributed());
    assert_eq!(config.server_id, Some(2));
    assert_eq!((config.client_port, config.client_port_address.as_deref()), (Some(2191), Some("127.0.0.1")));
    assert_eq!(config.membership.observers().count(), 1);
    assert!(crossed.unwrap_err().problem.contains("differs from the client address 127.0.0.1:2191"));
}

#[test]
fn observers_need_voters() {
    refused(
        &format!("{SMALLEST}server.1=a:2888:3888:observer"),
        "zoo.cfg: server.N: observers need an ensemble of voters",
    );
}

#[test]
fn the_embedded_file_serves_this_machine_only() {
    let config = Config::embedded_default(&Environment::default()).unwrap();
    assert_eq!((config.client_port, config.client_port_address.as_deref()), (Some(2181), Some("127.0.0.1")));
    assert_eq!(config.data_dir, PathBuf::from("./oxkeeper-data"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let environment = Environment { data_dir: Some("/var/lib/öx keeper".into()), ..Environment::default() };
    let moved = Config::embedded_default(&environment).unwrap();
    assert_eq!(moved.data_dir, PathBuf::from("/var/lib/öx keeper"));
    assert!(moved.warnings.is_empty(), "{:?}", moved.warnings);
}

#[test]
fn port_and_directory_on_the_command_line_are_enough() {
    let environment = Environment::default();
    let config = Config::from_arguments(2182, "/data".as_ref(), None, None, &environment).unwrap();
    assert_eq!((config.client_port, config.max_client_cnxns, config.tick_time_ms), (Some(2182), 0, 3000));
    let config = Config::from_arguments(2182, "/data".as_ref(), Some(1000), Some(7), &environment).unwrap();
    assert_eq!((config.max_client_cnxns, config.max_session_timeout_ms), (7, 20_000));
}

/// `docs/configuration.md` comes from the table. `UPDATE=1 cargo test` rewrites it.
#[test]
fn the_configuration_chapter_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let fresh = chapter();
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(path, &fresh).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == fresh, "docs/configuration.md is stale: run UPDATE=1 cargo test config");
}

fn chapter() -> String {
    let mut text = String::from(include_str!("chapter.md"));
    for (effect, title) in [
        (Effect::Now, "Keys that work"),
        (Effect::Later, "Keys that are read but do nothing yet"),
        (Effect::Java, "Keys of the Java server that Oxkeeper does not need"),
    ] {
        text += &format!("\n## {title}\n\n");
        text += "| Key | System property | Default | Unit or values | Meaning | Reference |\n|---|---|---|---|---|---|\n";
        for key in KEYS.iter().filter(|key| key.effect == effect) {
            let properties: Vec<_> = key.properties.iter().map(|name| format!("`{name}`")).collect();
            let cells = [
                format!("`{}`", key.name),
                properties.join(", "),
                key.default.to_owned(),
                key.unit.to_owned(),
                key.meaning.to_owned(),
                key.reference.to_owned(),
            ];
            text += &format!(
                "| {} |\n",
                cells.map(|cell| cell.replace('|', "\\|").replace('<', "&lt;")).join(" | ")
            );
        }
    }
    text
}

#[test]
fn providers_of_schemes_come_from_the_file_and_from_flags() {
    let class = |name: &str| format!("org.apache.zookeeper.server.auth.{name}AuthenticationProvider");
    let config = with(&format!("authProvider.1={}\nensembleAuthName=east, west", class("Key")));
    assert!(config.key_auth_enabled && !config.ensemble_auth_enabled && config.digest_auth_enabled);
    assert_eq!(config.ensemble_auth_names, Some(vec!["east".to_owned(), "west".to_owned()]));
    assert!(config.warnings.is_empty() && config.without_effect.is_empty());

    let environment = Environment {
        jvmflags: format!("-Dzookeeper.authProvider.e={}", class("Ensemble")),
        ..Environment::default()
    };
    let config = Config::parse("zoo.cfg", SMALLEST.as_bytes(), &environment).unwrap();
    assert!(config.ensemble_auth_enabled && config.ensemble_auth_names.is_none());

    // A provider that is named is there, whatever the switch says.
    let config =
        with(&format!("DigestAuthenticationProvider.enabled=false\nauthProvider.1={}", class("Digest")));
    assert!(config.digest_auth_enabled);
}

#[test]
fn providers_that_are_not_here_are_refused() {
    let sasl = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
    let config = with(sasl);
    assert!(config.sasl.is_scheme && config.warnings.is_empty());
    refused(
        &format!("{SMALLEST}{sasl}\nauthProvider.2=com.example.Own"),
        "zoo.cfg line 4: authProvider.2=com.example.Own: the class is not known here, and no Java classes are run; \
         there are the AuthenticationProviders Digest, IP, Key, Ensemble, SASL and X509 of \
         org.apache.zookeeper.server.auth; remove the key",
    );
}

/// The reference ends over it too: nobody could ever be served.
#[test]
fn a_required_scheme_without_a_provider_is_refused() {
    refused(
        &format!("{SMALLEST}enforce.auth.enabled=true\nenforce.auth.schemes=digest,key"),
        "zoo.cfg: enforce.auth.schemes: the scheme key has no provider; authProvider.1 may name its class",
    );
    let sasl = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
    assert!(with(&format!("sessionRequireClientSASLAuth=true\n{sasl}")).enforce_auth_enabled);
    assert!(!with("enforce.auth.schemes=key").enforce_auth_enabled);
}

/// What is shown of a configuration, as a message of a panic would.
#[test]
fn no_secret_is_in_what_is_shown_of_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jaas");
    let section = "org.apache.zookeeper.server.auth.DigestLoginModule required user_bob=canary username=bob password=canary;";
    let sections =
        ["Server", "QuorumServer", "QuorumLearner"].map(|name| format!("{name} {{ {section} }};\n"));
    std::fs::write(&path, sections.concat()).unwrap();
    let environment = Environment {
        server_jvmflags: "-Dzookeeper.ssl.keyStore.password=canary".to_owned(),
        jvmflags: format!(
            "-Djava.security.auth.login.config={} -Dzookeeper.SASLAuthenticationProvider.superPassword=canary",
            path.display()
        ),
        data_dir: None,
    };
    let text = format!(
        "{SMALLEST}secureClientPort=1\nssl.keyStore.location=/k.p12\nssl.keyStore.password=canary\n\
         ssl.trustStore.location=/t.p12\nssl.trustStore.password=canary\nquorum.auth.enableSasl=true\n\
         DigestAuthenticationProvider.superDigest=super:canary\nmy.own.password=canary\n"
    );
    let config = Config::parse("zoo.cfg", text.as_bytes(), &environment).unwrap();
    assert!(config.sasl.login.is_some() && config.ensemble.peers.is_some() && config.tls.is_some());
    let properties = super::properties::Properties::parse(text.as_bytes()).unwrap();
    for shown in [format!("{config:#?}"), format!("{environment:?}"), format!("{properties:?}")] {
        assert!(!shown.contains("canary"), "{shown}");
    }
}
