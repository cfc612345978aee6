//! `lonja key`: the key that is a node's identity.

use crate::cli::{KeyArgs, KeyCommand};
use crate::data_dir::{DataDir, random};
use crate::print;
use crypto::NodeKey;
use eyre::{Result, WrapErr};
use serde_json::json;
use std::path::PathBuf;

pub fn run(command: KeyCommand) -> Result<()> {
    match command {
        KeyCommand::Generate(args) => {
            let key = NodeKey::from_seed(random()?);
            let path = path(&args);
            key.save(&path).wrap_err("no key was made")?;
            show(&args, &key, path)
        }
        KeyCommand::Show(args) => {
            let path = path(&args);
            let key = NodeKey::load(&path).wrap_err_with(|| format!("cannot load the node key {}", path.display()))?;
            show(&args, &key, path)
        }
    }
}

fn path(args: &KeyArgs) -> PathBuf {
    args.file.clone().unwrap_or_else(|| DataDir::new(&args.data.data_dir).node_key())
}

fn show(args: &KeyArgs, key: &NodeKey, path: PathBuf) -> Result<()> {
    let public = format!("0x{}", key.public());
    match args.json {
        true => print::json(&json!({ "key": public, "file": path })),
        false => {
            print::line(&format!("public key  {public}\nfile        {}", path.display()));
            Ok(())
        }
    }
}
