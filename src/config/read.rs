//! From settings to the fields of [`Config`], and the rules between fields.

#![expect(
    clippy::disallowed_methods,
    reason = "the configuration says where the files of the server are; it is read before there is a disk"
)]

mod audit;
mod ensemble;
mod members;
mod peer_tls;
mod providers;
mod replies;
mod revocation;
mod sasl;
mod scripts;
mod tls;
mod tuning;

pub use self::replies::ReplyCacheSizes;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::keys::{self, Effect};
use super::properties::{BadEscape, Properties};
use super::source::{Environment, Source, java_int};
use super::{
    Config, ConfigError, ConnectionThrottle, EMBEDDED, LogIo, MetricsProvider, RequestThrottle,
    SnapshotCompression, WithoutEffect,
};
use crate::secret::Secret;

/// What clients together may make the server hold, in bytes, unless it is configured: it suits a machine of
/// 512 MiB. With 40 MiB a few hundred clients that fill it make the others wait for seconds.
const CLIENT_MEMORY_BYTES: i64 = 128 << 20;
/// But so many of the largest requests, at least: one that does not fit would wait in vain.
const LARGEST_REQUESTS: i64 = 2;

type Result<T> = std::result::Result<T, ConfigError>;

impl Config {
    /// Reads a configuration file, the dynamic file it may name, and `myid`.
    ///
    /// Errors: a file cannot be read, or a setting is wrong.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| ConfigError::file(&name, format!("cannot be read: {error}")))?;
        let mut config = Self::parse(&name, &bytes, environment)?;
        config.warnings.extend(scripts::remarks(path, environment));
        Ok(config)
    }

    /// Reads the text of a configuration file called `name` in error messages.
    ///
    /// Errors: a setting is wrong.
    pub fn parse(name: &str, text: &[u8], environment: &Environment) -> Result<Self> {
        let entries = syntax(name, text)?;
        let source = Source::of(name, &entries, environment);
        Reading { source, entries: &entries, max_client_cnxns: 60 }.config()
    }

    /// The configuration of a server started without a file: port 2181 of this machine, data in
    /// `./oxkeeper-data` or where `OXKEEPER_DATA` says.
    ///
    /// Errors: a `-D` flag or the `myid` found there is wrong.
    pub fn embedded_default(environment: &Environment) -> Result<Self> {
        let mut text = EMBEDDED.as_bytes().to_vec();
        if let Some(data_dir) = &environment.data_dir {
            text.extend_from_slice(format!("\ndataDir={}\n", escaped(data_dir)).as_bytes());
        }
        let mut config = Self::parse("embedded zoo.cfg", &text, environment)?;
        config.warnings.retain(|warning| !warning.contains("is set again"));
        Ok(config)
    }

    /// The reference's command line form: port, data directory, and perhaps tick time and connections
    /// per client (0, no limit, when left out). Reference: `ServerConfig.parse(String[])`.
    ///
    /// Errors: a number is out of range, or a `-D` flag is wrong.
    pub fn from_arguments(
        port: u16,
        data_dir: &Path,
        tick_time_ms: Option<i32>,
        max_client_cnxns: Option<i32>,
        environment: &Environment,
    ) -> Result<Self> {
        let mut text = format!("clientPort={port}\ndataDir={}\n", escaped(&data_dir.display().to_string()));
        for (key, value) in [("tickTime", tick_time_ms), ("maxClientCnxns", max_client_cnxns)] {
            if let Some(value) = value {
                text += &format!("{key}={value}\n");
            }
        }
        let name = "command line";
        let entries = syntax(name, text.as_bytes())?;
        let source = Source::of(name, &entries, environment);
        Reading { source, entries: &entries, max_client_cnxns: 0 }.config()
    }
}

fn syntax(name: &str, text: &[u8]) -> Result<Properties> {
    Properties::parse(text).map_err(|BadEscape { line }| ConfigError {
        line: Some(line),
        ..ConfigError::file(name, "\\u must be followed by four hexadecimal digits")
    })
}

/// A value written so that reading it gives the same text.
fn escaped(text: &str) -> String {
    let units = text.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii_graphic() && byte != b'\\' => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    units.collect()
}

struct Reading<'a> {
    source: Source<'a>,
    entries: &'a Properties,
    max_client_cnxns: i32,
}

impl Reading<'_> {
    fn config(mut self) -> Result<Config> {
        let any = (i32::MIN, i32::MAX);
        let tick_time_ms = self.number("tickTime", 3000, (1, i32::MAX))?;
        let (min_session_timeout_ms, max_session_timeout_ms) = self.session_timeouts(tick_time_ms)?;
        let data_dir =
            self.directory("dataDir")?.ok_or_else(|| self.source.missing("dataDir", "must be set"))?;
        let data_log_dir = self.directory("dataLogDir")?.unwrap_or_else(|| data_dir.clone());
        let (client_port, client_port_address) = self.port("clientPort", "clientPortAddress")?;
        let (secure_client_port, secure_client_port_address) =
            self.port("secureClientPort", "secureClientPortAddress")?;
        let backlog = self.number("clientPortListenBacklog", -1, any)?;
        let retain = self.number("autopurge.snapRetainCount", 3, any)?;
        let purge_interval = self.number("autopurge.purgeInterval", 0, any)?;
        if retain < 3 {
            self.source.warnings.push(format!("autopurge.snapRetainCount={retain} is too small; keeping 3"));
        }
        let mut providers = self.auth_providers()?;
        let sasl = self.sasl(providers.contains("sasl"));
        let tls = self.tls(secure_client_port.is_some(), &mut providers)?;
        let (enforce_auth_enabled, enforce_auth_schemes) = self.enforced_auth(&providers)?;
        let (metrics, metrics_http_port) = self.metrics()?;
        let flush_delay_ms = self.source.property_number("flushDelay", 0).max(0);
        let jute_max_buffer_bytes = self.source.property_int("jute.maxbuffer", 0xf_ffff);
        let membership = self.membership()?;
        let standalone_enabled = self.source.boolean("standaloneEnabled", true)?;
        let peer_tls = self.peer_tls(!standalone_enabled || membership.voters().count() > 1)?;
        let server_id = self.my_id(&data_dir)?;
        let (init_limit_ticks, sync_limit_ticks) =
            (self.number("initLimit", 0, any)?, self.number("syncLimit", 0, any)?);
        let ensemble = self.ensemble(tick_time_ms, init_limit_ticks, sync_limit_ticks)?;
        let audit = self.audit()?;
        self.check_unread_keys()?;
        let mut config = Config {
            data_dir,
            data_log_dir,
            client_port,
            client_port_address,
            secure_client_port,
            secure_client_port_address,
            tick_time_ms,
            min_session_timeout_ms,
            max_session_timeout_ms,
            max_client_cnxns: self.number("maxClientCnxns", self.max_client_cnxns, any)?.max(0),
            max_cnxns: self.source.property_int("maxCnxns", 0).max(0),
            client_port_listen_backlog: (backlog > 0).then_some(backlog),
            client_tcp_keepalive: self.source.flag("clientTcpKeepAlive", false),
            sessionless_cnxn_timeout_ms: self.source.property_int("nio.sessionlessCnxnTimeout", 10_000),
            global_outstanding_limit: self
                .source
                .property("globalOutstandingLimit")
                .is_some()
                .then(|| self.source.property_int("globalOutstandingLimit", 1000)),
            client_memory_bytes: self
                .source
                .property_number(
                    "oxkeeper.clientMemoryBytes",
                    CLIENT_MEMORY_BYTES.max(LARGEST_REQUESTS * i64::from(jute_max_buffer_bytes)),
                )
                .max(1 << 20),
            log_io: self.log_io()?,
            prealloc_size_bytes: self.kib("preAllocSize", 65_536),
            snap_count: self.source.property_int("snapCount", 100_000).max(2),
            snap_size_limit_bytes: Some(self.kib("snapSizeLimitInKb", 4_194_304)).filter(|bytes| *bytes > 0),
            txn_log_size_limit_bytes: Some(self.kib("txnLogSizeLimitInKb", -1)).filter(|bytes| *bytes > 0),
            force_sync: self.source.property("forceSync") != Some("no"),
            reply_caches: self.reply_cache_sizes(),
            fsync_warning_threshold_ms: self.source.property_number("fsync.warningthresholdms", 1000),
            flush_delay_ms,
            max_write_queue_poll_time_ms: self
                .source
                .property_number("maxWriteQueuePollTime", flush_delay_ms / 3),
            max_batch_size: self.source.property_int("maxBatchSize", 1000),
            autopurge_snap_retain_count: retain.max(3),
            autopurge_purge_interval_hours: (purge_interval > 0).then_some(purge_interval),
            snapshot_compression: self.compression(),
            snapshot_trust_empty: self.source.flag("snapshot.trust.empty", false),
            datadir_autocreate: self.source.flag("datadir.autocreate", true),
            db_autocreate: self.source.flag("db.autocreate", true),
            serialize_last_processed_zxid: self.source.flag("serializeLastProcessedZxid.enabled", true),
            digest_enabled: self.source.flag("digest.enabled", true),
            close_session_txn_enabled: self.source.flag("closeSessionTxn.enabled", true),
            extended_types_enabled: self.source.flag("extendedTypesEnabled", false),
            emulate_353_ttl_nodes: self.source.flag("emulate353TTLNodes", false),
            enforce_quota: self.source.flag("enforceQuota", false),
            container_check_interval_ms: self.source.property_int("znode.container.checkIntervalMs", 60_000),
            container_max_per_minute: self.source.property_int("znode.container.maxPerMinute", 10_000),
            container_max_never_used_ms: self
                .source
                .property_number("znode.container.maxNeverUsedIntervalMs", 0),
            skip_acl: self.source.property("skipACL") == Some("yes"),
            digest_auth_enabled: providers.contains("digest"),
            digest_auth_algorithm: self
                .words("DigestAuthenticationProvider.digestAlg")
                .unwrap_or("SHA1".into()),
            super_digest: self.words("DigestAuthenticationProvider.superDigest").map(Secret::new),
            key_auth_enabled: providers.contains("key"),
            ensemble_auth_enabled: providers.contains("ensemble"),
            ensemble_auth_names: self.source.property("ensembleAuthName").map(comma_list),
            x509_auth_enabled: providers.contains("x509"),
            x509_super_user: self.words("X509AuthenticationProvider.superUser"),
            tls,
            peer_tls,
            enforce_auth_enabled,
            enforce_auth_schemes,
            audit,
            sasl,
            login_file: self.login_file().ok().flatten().map(|file| file.name.into()),
            jute_max_buffer_bytes,
            jute_max_buffer_extra_bytes: self
                .source
                .property_int("jute.maxbuffer.extrasize", jute_max_buffer_bytes)
                .max(1024),
            large_request_max_bytes: self.source.property_int("largeRequestMaxBytes", 100 * 1024 * 1024),
            large_request_threshold_bytes: Some(self.source.property_int("largeRequestThreshold", -1))
                .filter(|bytes| *bytes > 0),
            request_throttle: self.request_throttle(),
            connection_throttle: self.connection_throttle(),
            four_letter_whitelist: self.whitelist(),
            readonly_mode_enabled: self.source.flag("readonlymode.enabled", false),
            metrics,
            metrics_http_host: self.source.text("metricsProvider.httpHost").unwrap_or("0.0.0.0").to_owned(),
            metrics_http_port,
            metrics_export_jvm_info: self
                .source
                .text("metricsProvider.exportJvmInfo")
                .is_none_or(|value| value.eq_ignore_ascii_case("true")),
            membership,
            server_id,
            peer_type: self.peer_type()?,
            standalone_enabled,
            init_limit_ticks,
            sync_limit_ticks,
            ensemble,
            raw: self.entries.effective().map(|e| (e.key.clone(), shown(&e.key, &e.value))).collect(),
            unknown_keys: self.unknown_keys(),
            without_effect: self.without_effect(),
            warnings: Vec::new(),
        };
        self.settle_membership(&mut config)?;
        config.warnings = self.source.warnings;
        Ok(config)
    }

    fn number(&self, key: &str, default: i32, (min, max): (i32, i32)) -> Result<i32> {
        Ok(self.source.number(key, min, max)?.unwrap_or(default))
    }

    fn words(&self, key: &str) -> Option<String> {
        self.source.property(key).map(str::to_owned)
    }

    fn kib(&mut self, key: &str, default: i64) -> i64 {
        self.source.property_number(key, default).saturating_mul(1024)
    }

    fn session_timeouts(&self, tick_time_ms: i32) -> Result<(i32, i32)> {
        let of = |key, ticks: i32| match self.source.number(key, -1, i32::MAX)? {
            None | Some(-1) => Ok(tick_time_ms.saturating_mul(ticks)),
            Some(timeout) => Ok(timeout),
        };
        let (min, max) = (of("minSessionTimeout", 2)?, of("maxSessionTimeout", 20)?);
        if min > max {
            let blamed = ["minSessionTimeout", "maxSessionTimeout"];
            let blamed = blamed.into_iter().find(|key| self.source.text(key).is_some()).unwrap_or("tickTime");
            let problem =
                format!("minSessionTimeout ({min} ms) must not be above maxSessionTimeout ({max} ms)");
            return Err(self.source.wrong(blamed, problem));
        }
        Ok((min, max))
    }

    fn directory(&mut self, key: &str) -> Result<Option<PathBuf>> {
        let Some(text) = self.source.text(key) else { return Ok(None) };
        if text.is_empty() {
            return Err(self.source.wrong(key, "must name a directory"));
        }
        let path = PathBuf::from(text);
        if path.is_relative() && !text.starts_with('.') {
            let remark = format!("{key}={text} is relative to the working directory; write ./ to mean that");
            self.source.warnings.push(remark);
        }
        Ok(Some(path))
    }

    fn port(&self, key: &str, address_key: &str) -> Result<(Option<u16>, Option<String>)> {
        let port = self.source.number(key, 0, 65_535)?.and_then(|port| u16::try_from(port).ok());
        let address = self.source.text(address_key).map(str::to_owned);
        if port.is_none() && address.is_some() {
            return Err(self.source.wrong(address_key, format!("is set but {key} is not")));
        }
        Ok((port, address))
    }

    fn metrics(&self) -> Result<(MetricsProvider, u16)> {
        let provider = match self.source.text("metricsProvider.className") {
            None => MetricsProvider::Default,
            Some(class) => match class.strip_prefix("org.apache.zookeeper.metrics.").unwrap_or_default() {
                "impl.DefaultMetricsProvider" => MetricsProvider::Default,
                "impl.NullMetricsProvider" => MetricsProvider::Null,
                "prometheus.PrometheusMetricsProvider" => MetricsProvider::Prometheus,
                _ => return Err(self.source.wrong("metricsProvider.className", "is not a known provider")),
            },
        };
        if provider == MetricsProvider::Prometheus
            && self.number("metricsProvider.httpsPort", -1, (-1, 65_535))? >= 0
        {
            let problem = "the metrics are told without TLS only; remove the key, have them told on this machine alone with \
                           metricsProvider.httpHost=127.0.0.1, and put a proxy that speaks TLS before them";
            return Err(self.source.wrong("metricsProvider.httpsPort", problem));
        }
        let port = self.number("metricsProvider.httpPort", 7000, (0, 65_535))?;
        Ok((provider, u16::try_from(port).unwrap_or(7000)))
    }

    fn log_io(&self) -> Result<LogIo> {
        match self.source.property("oxkeeper.log.io") {
            None | Some("mmap") => Ok(LogIo::Mmap),
            Some("plain") => Ok(LogIo::Plain),
            Some(_) => Err(self.source.wrong("oxkeeper.log.io", "must be mmap or plain")),
        }
    }

    fn compression(&self) -> SnapshotCompression {
        match self.words("snapshot.compression.method").unwrap_or_default().to_ascii_lowercase().as_str() {
            "gz" => SnapshotCompression::Gzip,
            "snappy" => SnapshotCompression::Snappy,
            _ => SnapshotCompression::None,
        }
    }

    fn request_throttle(&mut self) -> RequestThrottle {
        RequestThrottle {
            max_requests: self.source.property_int("request_throttle_max_requests", 0),
            stall_time_ms: self.source.property_int("request_throttle_stall_time", 100),
            drop_stale: self.source.flag("request_throttle_drop_stale", true),
            stale_latency_check: self.source.flag("request_stale_latency_check", false),
            stale_connection_check: self.source.flag("request_stale_connection_check", true),
            throttled_op_wait_time_ms: self.source.property_int("throttled_op_wait_time", 0),
        }
    }

    fn connection_throttle(&mut self) -> ConnectionThrottle {
        ConnectionThrottle {
            tokens: self.source.property_int("connection_throttle_tokens", 0),
            fill_time_ms: self.source.property_int("connection_throttle_fill_time", 1),
            fill_count: self.source.property_int("connection_throttle_fill_count", 1),
            freeze_time_ms: self.source.property_int("connection_throttle_freeze_time", -1),
            drop_increase: self.source.property_ratio("connection_throttle_drop_increase", 0.02),
            drop_decrease: self.source.property_ratio("connection_throttle_drop_decrease", 0.002),
            decrease_ratio: self.source.property_ratio("connection_throttle_decrease_ratio", 0.0),
        }
    }

    /// Reference: `FourLetterCommands.isEnabled`, where `srvr` can never be turned off.
    fn whitelist(&self) -> Vec<String> {
        let mut words = self.source.property("4lw.commands.whitelist").map(comma_list).unwrap_or_default();
        if self.source.property("readonlymode.enabled") == Some("true") {
            words.push("isro".to_owned());
        }
        words.push("srvr".to_owned());
        let mut seen = HashSet::new();
        words.retain(|word| seen.insert(word.clone()));
        words
    }

    /// Keys without a field yet are checked all the same: a value that is wrong today must not
    /// become an error with the version that uses it.
    fn check_unread_keys(&self) -> Result<()> {
        for entry in self.entries.effective() {
            let Some(key) = keys::find(&entry.key).filter(|key| key.is_read_from_file()) else { continue };
            match key.kind {
                keys::Kind::Bool => drop(self.source.boolean(&entry.key, false)?),
                keys::Kind::Port => drop(self.source.number(&entry.key, -1, 65_535)?),
                keys::Kind::Number if !key.name.ends_with('*') && java_int(&entry.value).is_none() => {
                    self.source.number(&entry.key, i32::MIN, i32::MAX)?;
                }
                _ => {}
            }
        }
        if self.source.text("electionAlg").is_some_and(|algorithm| java_int(algorithm) != Some(3)) {
            return Err(self.source.wrong("electionAlg", "must be 3, the only one there is"));
        }
        let sasl = |key: &str| self.source.boolean(key, false);
        let (server, learner) = ("quorum.auth.serverRequireSasl", "quorum.auth.learnerRequireSasl");
        for key in [server, learner] {
            if sasl(key)? && !sasl("quorum.auth.enableSasl")? {
                return Err(self.source.wrong(key, "needs quorum.auth.enableSasl=true"));
            }
        }
        if sasl(server)? && !sasl(learner)? {
            return Err(self.source.wrong(server, format!("needs {learner}=true")));
        }
        Ok(())
    }

    fn unknown_keys(&self) -> Vec<String> {
        let unknown = |key: &&str| keys::find(key).is_none() && keys::find_property(key).is_none();
        self.entries.effective().map(|e| e.key.as_str()).filter(unknown).map(str::to_owned).collect()
    }

    fn without_effect(&self) -> Vec<WithoutEffect> {
        let of = |key: &str| {
            let effect = keys::find(key).or_else(|| keys::find_property(key))?.effect;
            (effect != Effect::Now).then(|| WithoutEffect { key: key.to_owned(), effect })
        };
        let of_file = self.entries.effective().filter_map(|entry| of(&entry.key));
        let of_flag = |name: &str| {
            let effect = keys::find_property(name)?.effect;
            (effect != Effect::Now).then(|| WithoutEffect { key: format!("-D{name}"), effect })
        };
        of_file.chain(self.source.flags().into_iter().filter_map(of_flag)).collect()
    }
}

/// A value as it may be shown: passwords may not.
fn shown(key: &str, value: &str) -> String {
    if keys::is_secret(key) { "***".into() } else { value.into() }
}

fn comma_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
