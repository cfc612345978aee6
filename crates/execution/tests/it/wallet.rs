//! Accounts that sign, and small contracts.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::{eip2930::AccessList, eip7702::Authorization};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, bytes};
use crypto::{AccountKey, DEV_MNEMONIC};
use types::{ConsensusConfig, FeeMode, Genesis, GenesisTemplate, Recovered, Transaction, recover};

pub const CHAIN_ID: u64 = 1337;
pub const GWEI: u128 = 1_000_000_000;

/// Adds one to slot 0.
pub static COUNTER: Bytes = bytes!("0x60005460010160005500");
/// Reverts with `Error("no")`.
pub static REVERTER: Bytes =
    bytes!("0x6308c379a060e01b600052602060045260026024526f6e6f000000000000000000000000000060801b60445260646000fd");
/// Destroys itself in favour of the caller.
pub static MORTAL: Bytes = bytes!("0x33ff");
/// Returns GASPRICE.
pub static PRICE: Bytes = bytes!("0x3a60005260206000f3");
/// Returns the hash of the block before.
pub static LAST_HASH: Bytes = bytes!("0x600143034060005260206000f3");
/// Logs nothing, without a topic.
pub static LOGGER: Bytes = bytes!("0x60006000a000");
/// Never ends by itself.
pub static LOOP: Bytes = bytes!("0x5b600056");

pub const CONTRACTS: [(u8, &Bytes); 7] =
    [(1, &COUNTER), (2, &REVERTER), (3, &MORTAL), (4, &PRICE), (5, &LAST_HASH), (6, &LOGGER), (7, &LOOP)];

pub fn contract(index: u8) -> Address {
    Address::with_last_byte(index) | Address::repeat_byte(0x10)
}

pub fn key(index: u32) -> AccountKey {
    AccountKey::from_mnemonic(DEV_MNEMONIC, index).unwrap()
}

/// A new chain: accounts 0 to 3 are funded, 4 and above have nothing; the contracts above are deployed.
pub fn genesis(fees: FeeMode) -> Genesis {
    genesis_with(fees, |_| {})
}

pub fn genesis_with(fees: FeeMode, change: impl FnOnce(&mut alloy_genesis::Genesis)) -> Genesis {
    let template = GenesisTemplate {
        chain_id: CHAIN_ID,
        fees,
        consensus: ConsensusConfig::Dev { block_period_ms: 0 },
        funded: (0..4).map(|index| key(index).address()).collect(),
        ..GenesisTemplate::default()
    };
    let mut ethereum = (*template.build().unwrap().ethereum).clone();
    for (index, code) in CONTRACTS {
        let account = GenesisAccount::default().with_nonce(Some(1)).with_code(Some(code.clone()));
        ethereum.alloc.insert(contract(index), account.with_balance(U256::from(1000)));
    }
    change(&mut ethereum);
    Genesis::new(ethereum).unwrap()
}

pub fn init_code(runtime: &Bytes) -> Bytes {
    let copy = [0x60, runtime.len() as u8, 0x80, 0x60, 0x0b, 0x60, 0, 0x39, 0x60, 0, 0xf3];
    [&copy[..], runtime].concat().into()
}

fn signed<T>(transaction: T, key: &AccountKey) -> Recovered
where
    T: SignableTransaction<Signature>,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let signature = key.sign(&transaction.signature_hash());
    recover(transaction.into_signed(signature).into()).unwrap()
}

/// What a test says about a transaction; the rest is usual.
#[derive(Clone)]
pub struct Order {
    pub from: u32,
    pub to: TxKind,
    pub nonce: u64,
    pub value: u64,
    pub input: Bytes,
    pub gas: u64,
    pub price: u128,
    pub tip: u128,
    pub chain_id: Option<u64>,
}

impl Order {
    pub fn call(from: u32, to: Address, nonce: u64) -> Order {
        Order {
            from,
            to: to.into(),
            nonce,
            value: 0,
            input: Bytes::new(),
            gas: 200_000,
            price: 10 * GWEI,
            tip: GWEI,
            chain_id: Some(CHAIN_ID),
        }
    }

    pub fn create(from: u32, runtime: &Bytes, nonce: u64) -> Order {
        Order { to: TxKind::Create, input: init_code(runtime), ..Order::call(from, Address::ZERO, nonce) }
    }

    pub fn legacy(self) -> Recovered {
        let Order { to, nonce, input, chain_id, .. } = self.clone();
        let value = U256::from(self.value);
        signed(
            TxLegacy { chain_id, nonce, gas_price: self.price, gas_limit: self.gas, to, value, input },
            &key(self.from),
        )
    }

    pub fn access_list(self, access_list: AccessList) -> Recovered {
        let Order { to, nonce, input, .. } = self.clone();
        let (value, chain_id) = (U256::from(self.value), self.chain_id.unwrap());
        let (gas_price, gas_limit) = (self.price, self.gas);
        let unsigned = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
        signed(unsigned, &key(self.from))
    }

    pub fn dynamic(self) -> Recovered {
        let Order { to, nonce, input, .. } = self.clone();
        let unsigned = TxEip1559 {
            chain_id: self.chain_id.unwrap(),
            nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.price,
            max_priority_fee_per_gas: self.tip,
            to,
            value: U256::from(self.value),
            access_list: AccessList::default(),
            input,
        };
        signed(unsigned, &key(self.from))
    }

    pub fn delegate(self, authority: u32, nonce: u64, to: Address) -> Recovered {
        let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: to, nonce };
        let signature = key(authority).sign(&authorization.signature_hash());
        self.set_code(vec![authorization.into_signed(signature)])
    }

    pub fn set_code(self, authorization_list: Vec<alloy_eips::eip7702::SignedAuthorization>) -> Recovered {
        let unsigned = TxEip7702 {
            chain_id: self.chain_id.unwrap(),
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.price,
            max_priority_fee_per_gas: self.tip,
            to: *self.to.to().unwrap(),
            value: U256::from(self.value),
            access_list: AccessList::default(),
            authorization_list,
            input: self.input.clone(),
        };
        signed(unsigned, &key(self.from))
    }

    pub fn blob(self) -> Recovered {
        let unsigned = TxEip4844 {
            chain_id: self.chain_id.unwrap(),
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.price,
            max_priority_fee_per_gas: self.tip,
            to: *self.to.to().unwrap(),
            blob_versioned_hashes: vec![B256::with_last_byte(1)],
            max_fee_per_blob_gas: 1,
            ..TxEip4844::default()
        };
        signed(unsigned, &key(self.from))
    }
}
