//! `lonja init`: a data directory that `lonja node` can run from.

use crate::cli::InitArgs;
use crate::config::Settings;
use crate::data_dir::{DataDir, random};
use crate::print;
use crypto::NodeKey;
use eyre::{Result, WrapErr};
use serde_json::json;
use types::Genesis;

pub fn run(args: InitArgs) -> Result<()> {
    let dir = DataDir::new(&args.data.data_dir);
    let genesis = args.genesis.as_ref().map(|file| {
        let text = std::fs::read_to_string(file).wrap_err_with(|| format!("cannot read {}", file.display()))?;
        Genesis::parse(&text)
            .wrap_err_with(|| format!("{} is not usable", file.display()))
            .map(|genesis| (text, genesis))
    });
    let genesis = genesis.transpose()?; // a wrong file leaves no half-made directory
    let key = make_key(&dir)?;
    if !dir.config().exists() {
        dir.write_new(&dir.config(), &configuration(&Settings::default())?)?;
    }
    if let Some((text, _)) = &genesis {
        dir.write_new(&dir.genesis(), text)?;
    }
    let public = format!("0x{}", key.public());
    let hash = genesis.as_ref().map(|(_, genesis)| genesis.hash());
    if args.json {
        return print::json(&json!({ "key": public, "data_dir": dir.path(), "genesis_hash": hash }));
    }
    print::line(&format!("data directory  {}\npublic key      {public}", dir.path().display()));
    match hash {
        Some(hash) => print::line(&format!(
            "genesis         {hash}\n\nNext: list your peers in {} and run\n  lonja node --data-dir {}",
            dir.config().display(),
            dir.path().display()
        )),
        None => print::line(&format!(
            "\nNext: give the public key to your consortium, put the genesis file at {}, list your peers in {}",
            dir.genesis().display(),
            dir.config().display()
        )),
    }
    Ok(())
}

/// The key in the directory, made when there is none. An existing identity is never replaced.
fn make_key(dir: &DataDir) -> Result<NodeKey> {
    if dir.node_key().exists() {
        return dir.read_key();
    }
    let key = NodeKey::from_seed(random()?);
    key.save(&dir.node_key())?;
    Ok(key)
}

/// `config.toml` with these settings.
pub fn configuration(settings: &Settings) -> Result<String> {
    let head = "# One node's settings. Flags and LONJA_* variables override them; see: lonja config show --origin\n";
    Ok(format!("{head}{}", toml::to_string_pretty(settings)?))
}
