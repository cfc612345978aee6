//! `lonja node`: a node from its data directory.

use crate::cli::NodeArgs;
use crate::data_dir::DataDir;
use crate::running::{self, Plan, Store};
use crate::{config, telemetry};
use eyre::Result;

pub fn run(args: NodeArgs) -> Result<()> {
    let dir = DataDir::new(&args.data.data_dir);
    let settings = config::load(config::Settings::default(), dir.path(), &args.settings)?;
    telemetry::log(&settings.log)?;
    let (genesis, key) = (dir.read_genesis()?, dir.read_key()?);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        key = %key.public(),
        chain = genesis.chain_id(),
        genesis = %genesis.hash(),
        data_dir = %dir.path().display(),
        "lonja node"
    );
    running::run(Plan { settings, genesis, key, signers: Vec::new(), store: Store::Disk, dir }, |_| ())
}
