//! One node's settings, and where each came from: flags > environment > `config.toml` > defaults.
//!
//! D3.1 6.2.2.1. What all nodes must agree on is not here but in the genesis. An unknown key is an error, in the file as
//! in the environment: a misspelt limit is no limit.

use crate::cli::{LogFormat, SettingArgs};
use eyre::{Result, WrapErr, eyre};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// Sections of the file, so that `LONJA_HTTP_PORT` means `http.port`.
const SECTIONS: [&str; 6] = ["http", "p2p", "metrics", "ledger", "pool", "log"];
/// Variables with our prefix that are not settings.
const NOT_SETTINGS: [&str; 2] = ["data_dir", "vectors"];

/// All settings of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Answer questions only.
    pub read_only: bool,
    pub http: Http,
    pub p2p: P2p,
    pub metrics: Endpoint,
    pub ledger: LedgerSettings,
    pub pool: PoolSettings,
    pub log: Log,
}

/// JSON-RPC over HTTP and WebSocket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub listen: IpAddr,
    pub port: u16,
    /// Origins that browsers may call from; "*" for all.
    pub cors: Vec<String>,
    /// Names by which clients may address this node, beside its loopback and listening address; "*" for all.
    pub hosts: Vec<String>,
}

/// The peer network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct P2p {
    pub listen: IpAddr,
    pub port: u16,
    /// The nodes to connect with. The committee of the genesis must be among them, or cannot be reached.
    pub peers: Vec<Peer>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its Ed25519 public key.
    pub key: String,
    /// Host (name or number) and port.
    pub address: String,
}

/// An address that something listens at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    pub listen: IpAddr,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSettings {
    /// Blocks whose state stays readable: "full" or a number.
    pub history: History,
    /// Memory for the store's pages and the hot state, in MiB.
    pub cache_mib: usize,
}

/// `"full"` or a number of blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum History {
    Blocks(u64),
    Word(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Transactions in all.
    pub count_max: usize,
    /// Memory of all, in MiB.
    pub mib_max: usize,
    /// Transactions of one account.
    pub account_count_max: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: LogFormat,
    /// As in "info,consensus=debug".
    pub level: String,
}

impl Default for Http {
    fn default() -> Http {
        Http { listen: loopback(), port: 8545, cors: Vec::new(), hosts: Vec::new() }
    }
}

impl Default for P2p {
    fn default() -> P2p {
        P2p { listen: loopback(), port: 30303, peers: Vec::new() }
    }
}

impl Default for Endpoint {
    fn default() -> Endpoint {
        Endpoint { listen: loopback(), port: 9545 }
    }
}

impl Default for LedgerSettings {
    fn default() -> LedgerSettings {
        LedgerSettings { history: History::Word("full".into()), cache_mib: 256 }
    }
}

impl Default for PoolSettings {
    fn default() -> PoolSettings {
        let limits = chain::PoolLimits::default();
        PoolSettings {
            count_max: limits.count_max,
            mib_max: limits.bytes_max / MIB,
            account_count_max: limits.account_count_max,
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log { format: LogFormat::Pretty, level: "info".into() }
    }
}

const MIB: usize = 1024 * 1024;

fn loopback() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

impl Http {
    pub fn address(&self) -> SocketAddr {
        (self.listen, self.port).into()
    }
}

impl P2p {
    pub fn address(&self) -> SocketAddr {
        (self.listen, self.port).into()
    }
}

impl Endpoint {
    pub fn address(&self) -> SocketAddr {
        (self.listen, self.port).into()
    }
}

impl LedgerSettings {
    pub fn options(&self) -> Result<ledger::Options> {
        let history = match &self.history {
            History::Blocks(blocks) => ledger::History::Blocks(*blocks),
            History::Word(word) if word == "full" => ledger::History::Full,
            History::Word(word) => {
                let blocks = word.parse();
                ledger::History::Blocks(
                    blocks.map_err(|_| eyre!("ledger.history is {word:?}: use \"full\" or a number of blocks"))?,
                )
            }
        };
        Ok(ledger::Options { history, cache_bytes: self.cache_mib * MIB })
    }
}

impl PoolSettings {
    pub fn limits(&self) -> chain::PoolLimits {
        chain::PoolLimits {
            count_max: self.count_max,
            bytes_max: self.mib_max * MIB,
            account_count_max: self.account_count_max,
            ..Default::default()
        }
    }
}

/// The layers of a node's configuration, not yet read.
pub fn layers(defaults: Settings, file: Option<&Path>, flags: &SettingArgs) -> Figment {
    let environment = Env::prefixed("LONJA_").filter_map(|key| {
        let key = key.as_str().to_ascii_lowercase();
        let section = SECTIONS.iter().find(|section| key.starts_with(&format!("{section}_")));
        let path = section.map_or(key.clone(), |section| format!("{section}.{}", &key[section.len() + 1..]));
        (!NOT_SETTINGS.contains(&key.as_str())).then(|| path.into())
    });
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if let Some(file) = file {
        figment = figment.merge(Toml::file_exact(file));
    }
    figment.merge(environment).merge(Flags(flags))
}

/// Reads the settings of the node in `data_dir`, whose file may be missing.
pub fn load(defaults: Settings, data_dir: &Path, flags: &SettingArgs) -> Result<Settings> {
    read(&layers(defaults, Some(&file(data_dir)).filter(|file| file.exists()).map(|file| file.as_path()), flags))
}

pub fn read(figment: &Figment) -> Result<Settings> {
    figment.extract().wrap_err("the configuration is wrong")
}

pub fn file(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("config.toml")
}

/// Every setting with its value and where it comes from.
pub fn origins(figment: &Figment) -> Result<Vec<(String, Value, String)>> {
    let all = figment.find_value("").map_err(|error| eyre!("the configuration is wrong: {error}"))?;
    let mut leaves = Vec::new();
    flatten("", &all, &mut leaves);
    let origin = |key: &str| figment.find_metadata(key).map_or("default".into(), describe);
    Ok(leaves.into_iter().map(|(key, value)| (key.clone(), value, origin(&key))).collect())
}

fn flatten(prefix: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, leaves);
            }
        }
        value => leaves.push((prefix.into(), value.clone())),
    }
}

fn describe(metadata: &Metadata) -> String {
    if let Some(path) = metadata.source.as_ref().and_then(|source| source.file_path()) {
        return path.display().to_string();
    }
    match metadata.name.as_ref() {
        name if name.contains("Settings") => "default".into(),
        name => name.trim_matches('`').to_string(),
    }
}

/// The command line as a layer.
struct Flags<'a>(&'a SettingArgs);

impl Provider for Flags<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("command line")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let flags = self.0;
        let mut dict = Dict::new();
        let mut set = |section: &str, key: &str, value: Option<Value>| {
            let Some(value) = value else { return };
            let entry = dict.entry(section.to_string()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = entry {
                inner.insert(key.to_string(), value);
            }
        };
        set("http", "listen", flags.http_listen.map(|address| address.to_string().into()));
        set("http", "port", flags.http_port.map(Value::from));
        set("http", "cors", (!flags.http_cors.is_empty()).then(|| Value::from(flags.http_cors.clone())));
        set("p2p", "listen", flags.p2p_listen.map(|address| address.to_string().into()));
        set("p2p", "port", flags.p2p_port.map(Value::from));
        set("metrics", "listen", flags.metrics_listen.map(|address| address.to_string().into()));
        set("metrics", "port", flags.metrics_port.map(Value::from));
        set("ledger", "history", flags.history.clone().map(Value::from));
        set("log", "format", flags.log_format.map(Value::serialize).transpose()?);
        set("log", "level", flags.log_level.clone().map(Value::from));
        if flags.read_only {
            dict.insert("read_only".into(), true.into());
        }
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

#[cfg(test)]
#[allow(clippy::result_large_err)] // the library's own error
mod tests {
    use super::*;

    #[test]
    fn later_layers_win_and_say_so() {
        figment::Jail::expect_with(|jail| {
            jail.create_file("config.toml", "[http]\nport = 1\n[p2p]\nport = 2\n[metrics]\nport = 3")?;
            jail.set_env("LONJA_P2P_PORT", "20");
            jail.set_env("LONJA_METRICS_PORT", "30");
            let flags = SettingArgs { metrics_port: Some(300), ..Default::default() };
            let figment = layers(Settings::default(), Some(Path::new("config.toml")), &flags);
            let settings = read(&figment).unwrap();
            assert_eq!((settings.http.port, settings.p2p.port, settings.metrics.port), (1, 20, 300));
            let origins = origins(&figment).unwrap();
            let origin = |key: &str| origins.iter().find(|(name, ..)| name == key).unwrap().2.clone();
            assert!(origin("http.port").ends_with("config.toml"));
            assert!(origin("p2p.port").contains("LONJA_"), "{}", origin("p2p.port"));
            assert_eq!(origin("metrics.port"), "command line");
            assert_eq!(origin("http.listen"), "default");
            Ok(())
        });
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        figment::Jail::expect_with(|jail| {
            jail.create_file("config.toml", "[http]\nprot = 1")?;
            let error = read(&layers(Settings::default(), Some(Path::new("config.toml")), &SettingArgs::default()))
                .unwrap_err();
            assert!(format!("{error:?}").contains("prot"), "{error:?}");
            jail.create_file("config.toml", "")?;
            jail.set_env("LONJA_HTTP_PROT", "1");
            assert!(
                read(&layers(Settings::default(), Some(Path::new("config.toml")), &SettingArgs::default())).is_err()
            );
            Ok(())
        });
    }

    #[test]
    fn history_is_full_or_a_number() {
        let options = |history| LedgerSettings { history, cache_mib: 1 }.options();
        assert!(options(History::Word("full".into())).is_ok());
        assert!(options(History::Word("128".into())).is_ok());
        assert!(options(History::Word("some".into())).is_err());
    }
}
