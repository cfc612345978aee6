//! What is sent: transactions signed beforehand, and the JSON-RPC batches that carry them.
//!
//! Invariant: all transactions of one account go to one endpoint, in the order of their nonces, so that no node has to
//! hold one back until another node's gossip brings its forerunner.

use crate::accounts::recipient;
use crate::network::Fees;
use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_sol_types::{SolCall, SolValue, sol};
use crypto::AccountKey;
use serde_json::json;
use types::Transaction;

sol! {
    function transfer(address to, uint256 value) external returns (bool);
    function mint(address[] holders, uint256 amount) external;
}

/// Creation code; `contracts/compile.sh` makes it from the sources beside it.
const TOKEN: &str = include_str!("../contracts/Token.hex");
const SCATTER: &str = include_str!("../contracts/Scatter.hex");

/// Gas of a plain transfer, exactly.
pub const TRANSFER_GAS: u64 = 21_000;
/// More than an ERC-20 transfer between holders can take (about 35,000).
pub const TOKEN_TRANSFER_GAS: u64 = 65_000;

/// What a transaction does, before anybody signs it.
#[derive(Clone, Debug)]
pub struct Act {
    pub to: TxKind,
    pub value: U256,
    pub input: Bytes,
    pub gas: u64,
}

/// A transaction ready to be sent.
#[derive(Clone, Debug)]
pub struct Presigned {
    pub hash: B256,
    /// Its encoding, as `0x…`.
    pub raw: String,
}

/// What every transaction of a burst does.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Native { value: u64 },
    Erc20 { token: Address },
}

/// A JSON-RPC batch, written beforehand; entry `id` of it is transaction `members[id]`.
pub struct Batch {
    pub endpoint: usize,
    pub members: Vec<u32>,
    pub body: hyper::body::Bytes,
}

impl Act {
    pub fn transfer(to: Address, value: U256) -> Act {
        Act { to: to.into(), value, input: Bytes::new(), gas: TRANSFER_GAS }
    }

    pub fn token_transfer(token: Address, to: Address) -> Act {
        let input = transferCall { to, value: U256::from(1) }.abi_encode();
        Act { to: token.into(), value: U256::ZERO, input: input.into(), gas: TOKEN_TRANSFER_GAS }
    }

    pub fn create_token() -> Act {
        Act { to: TxKind::Create, value: U256::ZERO, input: code(TOKEN, &[]), gas: 2_000_000 }
    }

    pub fn mint(token: Address, holders: &[Address], amount: U256) -> Act {
        let input = mintCall { holders: holders.to_vec(), amount }.abi_encode();
        Act { to: token.into(), value: U256::ZERO, input: input.into(), gas: gas_for(holders.len()) }
    }

    /// Pays `amount` to each account.
    pub fn scatter(accounts: &[Address], amount: U256) -> Act {
        let input = code(SCATTER, &(accounts.to_vec(), amount).abi_encode_params());
        Act { to: TxKind::Create, value: amount * U256::from(accounts.len()), input, gas: gas_for(accounts.len()) }
    }

    pub fn sign(self, key: &AccountKey, chain_id: u64, nonce: u64, fees: Fees) -> Presigned {
        let Act { to, value, input, gas: gas_limit } = self;
        let transaction = match fees {
            Fees::Legacy { gas_price } => {
                signed(key, TxLegacy { chain_id: Some(chain_id), nonce, gas_price, gas_limit, to, value, input })
            }
            Fees::Dynamic { cap, tip } => {
                let (max_fee_per_gas, max_priority_fee_per_gas) = (cap, tip);
                let unsigned = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    ..Default::default()
                };
                signed(key, TxEip1559 { to, value, input, ..unsigned })
            }
        };
        Presigned { hash: *transaction.tx_hash(), raw: hex::encode_prefixed(transaction.encoded_2718()) }
    }
}

impl Kind {
    pub fn act(self, to: Address) -> Act {
        match self {
            Kind::Native { value } => Act::transfer(to, U256::from(value)),
            Kind::Erc20 { token } => Act::token_transfer(token, to),
        }
    }
}

/// Signs transaction `index` of a burst: the accounts take turns, each with its next nonce.
pub fn presign(
    index: u64,
    kind: Kind,
    keys: &[AccountKey],
    addresses: &[Address],
    nonces: &[u64],
    chain_id: u64,
    fees: Fees,
) -> Presigned {
    let sender = (index % keys.len() as u64) as usize;
    let nonce = nonces[sender] + index / keys.len() as u64;
    let to = addresses[recipient(sender, index, addresses.len())];
    kind.act(to).sign(&keys[sender], chain_id, nonce, fees)
}

/// The endpoint that gets all of an account's transactions.
pub fn endpoint_of(sender: usize, endpoints: usize) -> usize {
    sender % endpoints
}

/// Writes the batches, in the order in which they are sent: the endpoints in turn.
pub fn batches(transactions: &[Presigned], senders: usize, endpoints: usize, size: usize) -> Vec<Batch> {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); endpoints];
    for index in 0..transactions.len() {
        members[endpoint_of(index % senders, endpoints)].push(index as u32);
    }
    let mut rows: Vec<_> = members.iter().map(|members| members.chunks(size)).collect();
    let mut batches = Vec::new();
    loop {
        let before = batches.len();
        for (endpoint, row) in rows.iter_mut().enumerate() {
            batches.extend(row.next().map(|members| batch(transactions, endpoint, members)));
        }
        if batches.len() == before {
            return batches;
        }
    }
}

fn batch(transactions: &[Presigned], endpoint: usize, members: &[u32]) -> Batch {
    let calls = members.iter().enumerate().map(|(id, index)| {
        let raw = &transactions[*index as usize].raw;
        json!({ "jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw] })
    });
    let body = serde_json::Value::Array(calls.collect()).to_string();
    Batch { endpoint, members: members.to_vec(), body: body.into() }
}

fn signed<T: SignableTransaction<alloy_primitives::Signature>>(key: &AccountKey, unsigned: T) -> Transaction
where
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let signature = key.sign(&unsigned.signature_hash());
    unsigned.into_signed(signature).into()
}

/// Set-up gas: what touching one new account takes (34,000 and its call data), and the frame around it.
fn gas_for(accounts: usize) -> u64 {
    200_000 + 40_000 * accounts as u64
}

fn code(hexadecimal: &str, arguments: &[u8]) -> Bytes {
    let mut code = hex::decode(hexadecimal.trim()).expect("the compiler writes hexadecimal");
    code.extend_from_slice(arguments);
    code.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::derive_all;
    use alloy_consensus::Transaction as _;
    use std::collections::BTreeMap;
    use types::{Recovered, decode_transaction, recover};

    fn read(presigned: &Presigned) -> Recovered {
        let transaction = decode_transaction(&hex::decode(&presigned.raw).unwrap()).unwrap();
        assert_eq!(*transaction.tx_hash(), presigned.hash);
        recover(transaction).unwrap()
    }

    #[test]
    fn what_is_signed_recovers_to_its_sender() {
        let keys = derive_all("test", 0, 2);
        let to = keys[1].address();
        for fees in [Fees::Legacy { gas_price: 7 }, Fees::Dynamic { cap: 9, tip: 2 }] {
            let transaction = read(&Act::transfer(to, U256::from(3)).sign(&keys[0], 1337, 5, fees));
            assert_eq!(transaction.signer(), keys[0].address());
            assert_eq!(transaction.chain_id(), Some(1337));
            assert_eq!((transaction.nonce(), transaction.value(), transaction.to()), (5, U256::from(3), Some(to)));
            assert_eq!(transaction.max_fee_per_gas(), fees.cap());
        }
    }

    #[test]
    fn a_token_transfer_is_encoded_as_the_standard_says() {
        let (token, to) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let expected = format!("a9059cbb{:0>64}{:0>64}", hex::encode(to), 1);
        assert_eq!(hex::encode(Act::token_transfer(token, to).input), expected);
    }

    #[test]
    fn creation_code_ends_in_its_arguments() {
        let accounts = [Address::repeat_byte(1), Address::repeat_byte(2)];
        let act = Act::scatter(&accounts, U256::from(5));
        assert_eq!(act.value, U256::from(10));
        let words = ["40", "5", "2", &hex::encode(accounts[0]), &hex::encode(accounts[1])];
        let expected: String = words.iter().map(|word| format!("{word:0>64}")).collect();
        assert!(hex::encode(&act.input).ends_with(&expected));
        assert!(act.input.len() > expected.len() / 2 + 100, "no code before them");
    }

    #[test]
    fn accounts_take_turns_and_keep_their_endpoint_and_order() {
        let keys = derive_all("test", 0, 5);
        let addresses: Vec<_> = keys.iter().map(AccountKey::address).collect();
        let kind = Kind::Native { value: 0 };
        let fees = Fees::Legacy { gas_price: 0 };
        let sign = |index| presign(index, kind, &keys, &addresses, &[10, 20, 30, 40, 50], 1, fees);
        let transactions: Vec<_> = (0..23).map(sign).collect();
        let batches = batches(&transactions, 5, 2, 4);
        assert_eq!(batches.iter().map(|batch| batch.endpoint).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1, 0]);
        let mut next = BTreeMap::from_iter(addresses.iter().copied().zip([10, 20, 30, 40, 50]));
        for batch in &batches {
            let calls: Vec<serde_json::Value> = serde_json::from_slice(&batch.body).unwrap();
            assert_eq!(calls.len(), batch.members.len());
            for (id, (call, index)) in calls.iter().zip(&batch.members).enumerate() {
                assert_eq!(call["id"], id);
                assert_eq!(call["params"][0], transactions[*index as usize].raw);
                let transaction = read(&transactions[*index as usize]);
                let sender = transaction.signer();
                assert_eq!(endpoint_of(addresses.iter().position(|a| *a == sender).unwrap(), 2), batch.endpoint);
                let nonce = next.get_mut(&sender).unwrap();
                assert_eq!(transaction.nonce(), *nonce);
                *nonce += 1;
            }
        }
        assert_eq!(batches.iter().map(|batch| batch.members.len()).sum::<usize>(), 23);
    }
}
