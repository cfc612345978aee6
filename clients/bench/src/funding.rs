//! Gives the senders what their transactions need: currency for gas and value, and tokens.
//!
//! Set-up, before the clock starts. In a network where gas costs nothing an account without balance can do all of it.

use crate::accounts::{balances, derive, nonces};
use crate::cli::{Common, Workload};
use crate::network::Network;
use crate::workload::{Act, Kind, Presigned, TOKEN_TRANSFER_GAS, TRANSFER_GAS};
use alloy_primitives::{Address, B256, U256};
use crypto::{AccountKey, DEV_MNEMONIC};
use eyre::{Result, WrapErr, bail, eyre};
use serde_json::json;
use std::path::Path;

/// Accounts that one set-up transaction serves: 4.2 million gas, which every network's blocks hold.
const ACCOUNTS_PER_TRANSACTION: usize = 100;
/// Tokens that every sender gets, in the smallest unit: more than it can send.
const TOKENS_EACH: u64 = 1_000_000_000_000_000_000;

/// The account that pays for set-up.
struct Treasury<'a> {
    network: &'a Network,
    key: AccountKey,
    nonce: u64,
    balance: U256,
}

/// Makes the senders ready for `each` transactions, and says what every transaction will do.
pub async fn prepare(
    network: &Network,
    common: &Common,
    workload: Workload,
    senders: &[Address],
    each: u64,
) -> Result<Kind> {
    let mut treasury = Treasury::open(network, common).await?;
    let kind = match workload {
        Workload::Native => Kind::Native { value: treasury.affordable_value(common.value, senders.len(), each) },
        Workload::Erc20 => Kind::Erc20 { token: treasury.create_token().await? },
    };
    treasury.fund(senders, each, kind).await?;
    if let Kind::Erc20 { token } = kind {
        let acts = senders.chunks(ACCOUNTS_PER_TRANSACTION);
        treasury
            .send(acts.map(|some| Act::mint(token, some, U256::from(TOKENS_EACH))).collect(), "minting tokens")
            .await?;
    }
    Ok(kind)
}

impl Treasury<'_> {
    /// The funder; where it owns nothing and nothing costs, an account of the run, so that runs do not meet.
    async fn open<'a>(network: &'a Network, common: &Common) -> Result<Treasury<'a>> {
        let funder = match &common.funder_key_file {
            Some(path) => key_in(path)?,
            None => AccountKey::from_mnemonic(DEV_MNEMONIC, 0).wrap_err("the development mnemonic")?,
        };
        let balance = balances(network.first(), &[funder.address()]).await?[0];
        let is_penniless = balance.is_zero() && network.fees.cap() == 0;
        let key = if is_penniless { derive(&common.seed, common.run, u64::MAX) } else { funder };
        let nonce = nonces(network.first(), &[key.address()]).await?[0];
        Ok(Treasury { network, key, nonce, balance })
    }

    /// One wei, unless told otherwise or nobody has it and gas costs nothing either.
    fn affordable_value(&self, asked: Option<u64>, senders: usize, each: u64) -> u64 {
        let all = U256::from(senders) * U256::from(each);
        let free_and_poor = self.network.fees.cap() == 0 && self.balance < all;
        asked.unwrap_or(if free_and_poor { 0 } else { 1 })
    }

    async fn create_token(&mut self) -> Result<Address> {
        let act = Act::create_token();
        self.afford(U256::from(act.gas) * U256::from(self.network.fees.cap()))?;
        let hash = self.submit(act).await?;
        let receipt = self.network.receipt(hash, "creating the token").await?;
        self.network.level_at(receipt.block_number.to()).await?;
        receipt.contract_address.ok_or_else(|| eyre!("the receipt of the token's creation names no contract"))
    }

    /// Tops up the senders that have less than they need.
    async fn fund(&mut self, senders: &[Address], each: u64, kind: Kind) -> Result<()> {
        let (gas, value) = match kind {
            Kind::Native { value } => (TRANSFER_GAS, value),
            Kind::Erc20 { .. } => (TOKEN_TRANSFER_GAS, 0),
        };
        let cap = U256::from(self.network.fees.cap());
        let need = U256::from(each) * (U256::from(gas) * cap + U256::from(value));
        let owned = balances(self.network.first(), senders).await?;
        let poor: Vec<Address> =
            senders.iter().zip(owned).filter(|(_, owned)| *owned < need).map(|(a, _)| *a).collect();
        let acts: Vec<Act> = poor.chunks(ACCOUNTS_PER_TRANSACTION).map(|some| Act::scatter(some, need)).collect();
        let cost =
            acts.iter().map(|act| act.value + U256::from(act.gas) * cap).fold(U256::ZERO, |sum, cost| sum + cost);
        self.afford(cost)?;
        self.send(acts, "funding the senders").await
    }

    fn afford(&self, cost: U256) -> Result<()> {
        if cost <= self.balance {
            return Ok(());
        }
        bail!(
            "{} has {} wei and set-up takes up to {cost}: fund it, name another account's key with --funder-key-file, or \
             send fewer transactions",
            self.key.address(),
            self.balance
        )
    }

    /// Sends all, then waits for all, on every endpoint.
    async fn send(&mut self, acts: Vec<Act>, what: &str) -> Result<()> {
        let mut hashes = Vec::new();
        for act in acts {
            hashes.push(self.submit(act).await.wrap_err_with(|| what.to_string())?);
        }
        let mut height = 0;
        for hash in hashes {
            height = height.max(self.network.receipt(hash, what).await?.block_number.to());
        }
        self.network.level_at(height).await
    }

    async fn submit(&mut self, act: Act) -> Result<B256> {
        let Presigned { hash, raw } = act.sign(&self.key, self.network.chain_id, self.nonce, self.network.fees);
        self.network.first().call::<B256>("eth_sendRawTransaction", json!([raw])).await?;
        self.nonce += 1;
        Ok(hash)
    }
}

fn key_in(path: &Path) -> Result<AccountKey> {
    let text = crypto::read_secret(path).wrap_err("cannot read the funder's key")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    AccountKey::parse(&text).wrap_err_with(|| format!("{}", path.display()))
}
