//! The data directory: `config.toml  genesis.json  keys/  ledgers/NAME/  engine/NAME/  logs/`.

use crypto::NodeKey;
use eyre::{Result, WrapErr, eyre};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use types::{B256, Genesis};

/// Where one node keeps everything.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    pub fn new(path: &Path) -> DataDir {
        DataDir(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn config(&self) -> PathBuf {
        crate::config::file(&self.0)
    }

    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    pub fn node_key(&self) -> PathBuf {
        self.0.join("keys/node.key")
    }

    pub fn accounts(&self) -> PathBuf {
        self.0.join("keys/accounts")
    }

    pub fn ledger(&self, name: &str) -> PathBuf {
        self.0.join("ledgers").join(name)
    }

    /// The consensus engine's own journal. Never to be copied or restored: an old journal votes twice.
    pub fn engine(&self, name: &str) -> PathBuf {
        self.0.join("engine").join(name)
    }

    /// The last-signed watermark, apart from the journal: what it guards against is the journal's loss.
    pub fn watermark(&self, name: &str) -> PathBuf {
        self.0.join("keys/watermark").join(name)
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("logs/node.log")
    }

    /// Reads the genesis, or says where to get one.
    pub fn read_genesis(&self) -> Result<Genesis> {
        let path = self.genesis();
        let text = fs::read_to_string(&path).wrap_err_with(|| {
            format!("cannot read {}; put your network's genesis file there, or run: lonja init", path.display())
        })?;
        Genesis::parse(&text).wrap_err_with(|| format!("{} is not usable", path.display()))
    }

    /// Reads the node key, or says how to make one.
    pub fn read_key(&self) -> Result<NodeKey> {
        let path = self.node_key();
        NodeKey::load(&path)
            .wrap_err_with(|| format!("cannot load the node key {}; make one with: lonja init", path.display()))
    }

    /// Writes a file that is not there yet.
    pub fn write_new(&self, path: &Path, text: &str) -> Result<()> {
        if path.exists() {
            return Err(eyre!("{} is there already; it was left as it is", path.display()));
        }
        let parent = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(parent).wrap_err_with(|| format!("cannot make {}", parent.display()))?;
        fs::write(path, text).wrap_err_with(|| format!("cannot write {}", path.display()))
    }
}

/// 32 bytes from the operating system's random source.
pub fn random() -> Result<B256> {
    let mut bytes = [0u8; 32];
    let read = fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.wrap_err("cannot read the system's random source")?;
    Ok(bytes.into())
}
