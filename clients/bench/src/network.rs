//! What has to be known of a network before the first transaction can be signed for it.

use crate::endpoint::{Block, CallError, Endpoint, Receipt};
use alloy_primitives::{B256, U64, U256};
use eyre::{Result, bail};
use serde_json::json;
use std::time::{Duration, Instant};

/// A sender's offer is this many times the present base fee: what twenty full blocks in a row can make of it.
const BASE_FEE_HEADROOM: u128 = 16;
/// Time between two looks at what set-up waits for.
const SETUP_POLL: Duration = Duration::from_millis(20);

/// One chain behind several endpoints.
pub struct Network {
    pub endpoints: Vec<Endpoint>,
    pub clients: Vec<String>,
    pub chain_id: u64,
    pub fees: Fees,
    pub timeout: Duration,
}

/// What a transaction offers for its gas, and so which kind of transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fees {
    /// The chain knows no base fee (before London).
    Legacy { gas_price: u128 },
    /// EIP-1559.
    Dynamic { cap: u128, tip: u128 },
}

impl Fees {
    /// The most that one unit of gas can cost.
    pub fn cap(self) -> u128 {
        match self {
            Fees::Legacy { gas_price } => gas_price,
            Fees::Dynamic { cap, .. } => cap,
        }
    }

    fn offered(gas_price: u128, base_fee: Option<u128>) -> Fees {
        let Some(base_fee) = base_fee else { return Fees::Legacy { gas_price } };
        let tip = gas_price.saturating_sub(base_fee);
        Fees::Dynamic { cap: base_fee.saturating_mul(BASE_FEE_HEADROOM).saturating_add(tip), tip }
    }
}

impl Network {
    /// Asks every endpoint who it is, and the first one what gas costs.
    pub async fn meet(endpoints: &[Endpoint], timeout: Duration) -> Result<Network> {
        let mut clients = Vec::new();
        let mut chain_ids = Vec::new();
        for endpoint in endpoints {
            chain_ids.push(endpoint.call::<U64>("eth_chainId", json!([])).await?.to::<u64>());
            clients.push(endpoint.call("web3_clientVersion", json!([])).await.unwrap_or_else(|_| "unknown".into()));
        }
        let chain_id = chain_ids[0];
        if let Some(other) = chain_ids.iter().position(|id| *id != chain_id) {
            let (first, other_url) = (endpoints[0].url(), endpoints[other].url());
            bail!(
                "{first} serves chain {chain_id} and {other_url} chain {}: give endpoints of one chain",
                chain_ids[other]
            );
        }
        let fees = fees(&endpoints[0]).await?;
        Ok(Network { endpoints: endpoints.to_vec(), clients, chain_id, fees, timeout })
    }

    pub fn first(&self) -> &Endpoint {
        &self.endpoints[0]
    }

    /// Waits for a transaction's receipt, which has to be a success.
    pub async fn receipt(&self, hash: B256, what: &str) -> Result<Receipt> {
        let until = Instant::now() + self.timeout;
        loop {
            let found: Option<Receipt> = self.first().call("eth_getTransactionReceipt", json!([hash])).await?;
            match found {
                Some(receipt) if receipt.succeeded() => return Ok(receipt),
                Some(receipt) => {
                    bail!("{what} failed in block {}: see debug_traceTransaction {hash}", receipt.block_number)
                }
                None if Instant::now() > until => bail!(
                    "{what} is in no block after {:?} ({hash}): is the network making blocks? see its logs, or raise --timeout",
                    self.timeout
                ),
                None => tokio::time::sleep(SETUP_POLL).await,
            }
        }
    }

    /// Waits until every endpoint has this height.
    pub async fn level_at(&self, height: u64) -> Result<()> {
        let until = Instant::now() + self.timeout;
        for endpoint in &self.endpoints {
            while endpoint.call::<U64>("eth_blockNumber", json!([])).await?.to::<u64>() < height {
                if Instant::now() > until {
                    bail!("{} is not at height {height} after {:?}: is it in sync?", endpoint.url(), self.timeout);
                }
                tokio::time::sleep(SETUP_POLL).await;
            }
        }
        Ok(())
    }
}

async fn fees(endpoint: &Endpoint) -> Result<Fees, CallError> {
    let gas_price: U256 = endpoint.call("eth_gasPrice", json!([])).await?;
    let latest: Block = endpoint.call("eth_getBlockByNumber", json!(["latest", false])).await?;
    Ok(Fees::offered(gas_price.saturating_to(), latest.base_fee_per_gas.map(|fee| fee.saturating_to())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_follows_the_chain() {
        assert_eq!(Fees::offered(0, None), Fees::Legacy { gas_price: 0 });
        assert_eq!(Fees::offered(0, Some(0)), Fees::Dynamic { cap: 0, tip: 0 });
        assert_eq!(Fees::offered(12, Some(10)), Fees::Dynamic { cap: 162, tip: 2 });
        assert_eq!(Fees::offered(5, Some(10)).cap(), 160);
    }
}
