//! A made-up chain of blocks with random changes of state, and a plain model to compare with.

use crate::{disk::Disk, random::Random};
use alloy_consensus::{Eip658Value, SignableTransaction, TxLegacy};
use alloy_genesis::{ChainConfig, GenesisAccount};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, Signature, U256, keccak256};
use alloy_trie::{KECCAK_EMPTY, TrieAccount, root};
use ledger::{Account, AccountChange, ExecutedBlock, History, Ledger, Options, Overlay, StateChanges, StateView};
use std::{collections::BTreeMap, sync::Arc};
use types::{Block, BlockBody, Genesis, Header, Receipt, Transaction};

pub const ACCOUNTS: u64 = 50;
pub const SLOTS: u64 = 40;

/// The whole state, without cleverness.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model(pub BTreeMap<Address, (Account, BTreeMap<B256, U256>)>);

pub fn address(number: u64) -> Address {
    Address::from_slice(&keccak256(number.to_be_bytes())[..20])
}

pub fn slot(number: u64) -> B256 {
    B256::from(U256::from(number))
}

pub fn code(number: u64) -> Bytes {
    Bytes::from(vec![0x60, number as u8 + 1, 0x00])
}

impl Model {
    pub fn root(&self) -> B256 {
        root::state_root_unhashed(self.0.iter().map(|(address, (account, storage))| {
            let storage = root::storage_root_unhashed(storage.iter().map(|(slot, value)| (*slot, *value)));
            (*address, TrieAccount::new(account.nonce, account.balance, storage, account.code_hash))
        }))
    }

    pub fn apply(&mut self, changes: &StateChanges) {
        for (address, change) in &changes.accounts {
            let Some(account) = change.account else {
                self.0.remove(address);
                continue;
            };
            let entry = self.0.entry(*address).or_default();
            entry.0 = account;
            if change.storage_cleared {
                entry.1.clear();
            }
            entry.1.extend(change.storage.iter().map(|(slot, value)| (*slot, *value)));
            entry.1.retain(|_, value| !value.is_zero());
        }
    }

    /// Every account and slot that the tests ever touch, present or not.
    pub fn check(&self, view: &StateView) {
        assert_eq!(view.state_root(), self.root(), "root at {}", view.height());
        for address in (0..ACCOUNTS).map(address) {
            let (account, storage) = self.0.get(&address).cloned().unzip();
            assert_eq!(view.account(address).unwrap(), account, "{address} at {}", view.height());
            let storage = storage.unwrap_or_default();
            for slot in (0..SLOTS).map(slot) {
                let value = storage.get(&slot).copied().unwrap_or_default();
                assert_eq!(view.storage(address, slot).unwrap(), value, "{address} {slot} at {}", view.height());
            }
            if let Some(account) = account.filter(|account| account.code_hash != KECCAK_EMPTY) {
                assert_eq!(keccak256(view.code(account.code_hash).unwrap()), account.code_hash);
            }
        }
        self.check_pages(view);
    }

    fn check_pages(&self, view: &StateView) {
        let (mut start, mut accounts) = (None, Vec::new());
        loop {
            let page = view.accounts_from(start, 7).unwrap();
            let Some((last, _)) = page.last() else { break };
            start = Some(Address::from(U160::from_be_bytes(last.0.0).wrapping_add(U160::ONE).to_be_bytes()));
            accounts.extend(page);
        }
        let expected: Vec<_> = self.0.iter().map(|(address, (account, _))| (*address, *account)).collect();
        assert_eq!(accounts, expected, "all accounts at {}", view.height());
        for (address, (_, storage)) in self.0.iter().take(5) {
            let expected: Vec<_> = storage.iter().map(|(slot, value)| (*slot, *value)).collect();
            assert_eq!(view.storage_from(*address, B256::ZERO, 1_000).unwrap(), expected);
        }
    }
}

type U160 = alloy_primitives::U160;

impl Random {
    /// What a block might do: transfers, calls, deployments, self-destructs, re-creations, touches.
    pub fn changes(&mut self, model: &Model) -> StateChanges {
        let mut changes = StateChanges::default();
        for _ in 0..self.below(8) {
            let address = address(self.below(ACCOUNTS));
            let (account, _) = model.0.get(&address).cloned().unwrap_or_default();
            let exists = model.0.contains_key(&address);
            let mut change = AccountChange { account: Some(account), ..AccountChange::default() };
            match self.below(12) {
                0 => change.account = None,
                1 => (change.account, change.storage_cleared) = (None, true),
                2 | 3 => {
                    change.storage_cleared = true;
                    change.account = Some(self.contract(&mut changes));
                    change.storage = self.slots();
                }
                4..8 if exists => change.storage = self.slots(),
                8 if exists => {}
                _ => {
                    let balance = U256::from(self.next()) << self.below(180);
                    change.account = Some(Account { nonce: account.nonce + 1, balance, ..account });
                }
            }
            changes.accounts.insert(address, change);
        }
        changes
    }

    fn contract(&mut self, changes: &mut StateChanges) -> Account {
        let code = code(self.below(20));
        let code_hash = keccak256(&code);
        changes.codes.insert(code_hash, code);
        Account { nonce: 1, balance: U256::from(self.below(3)), code_hash }
    }

    fn slots(&mut self) -> BTreeMap<B256, U256> {
        let count = self.below(12);
        (0..count)
            .map(|_| {
                let value = if self.chance(40) { U256::ZERO } else { U256::from(self.next()) << self.below(190) };
                (slot(self.below(SLOTS)), value)
            })
            .collect()
    }

    pub fn receipts(&mut self, count: u64) -> Vec<Receipt> {
        (0..count)
            .map(|index| {
                let logs = (0..self.below(4)).map(|_| self.log()).collect();
                let receipt = alloy_consensus::Receipt {
                    status: Eip658Value::Eip658(self.chance(80)),
                    cumulative_gas_used: 21_000 * (index + 1),
                    logs,
                };
                Receipt::Legacy(receipt.with_bloom())
            })
            .collect()
    }

    fn log(&mut self) -> Log {
        let topics = (0..self.below(5)).map(|_| topic(self.below(6))).collect();
        let data = LogData::new_unchecked(topics, Bytes::from(vec![self.next() as u8]));
        Log { address: address(self.below(6)), data }
    }
}

pub fn topic(number: u64) -> B256 {
    keccak256([number as u8])
}

pub fn genesis(alloc: &Model, codes: &BTreeMap<B256, Bytes>) -> Genesis {
    let alloc = alloc.0.iter().map(|(address, (account, storage))| {
        let storage = storage.iter().map(|(slot, value)| (*slot, B256::from(*value))).collect();
        let account = GenesisAccount {
            nonce: Some(account.nonce),
            balance: account.balance,
            code: codes.get(&account.code_hash).cloned(),
            storage: Some(storage),
            private_key: None,
        };
        (*address, account)
    });
    let ethereum = alloy_genesis::Genesis {
        config: ChainConfig { chain_id: 1337, ..ChainConfig::default() },
        alloc: alloc.collect(),
        ..alloy_genesis::Genesis::default()
    };
    Genesis::new(ethereum).unwrap()
}

/// A genesis with some of everything.
pub fn start() -> (Genesis, Model) {
    let mut random = Random(99);
    let (mut model, mut codes) = (Model::default(), BTreeMap::new());
    for _ in 0..20 {
        let changes = random.changes(&model);
        model.apply(&changes);
        codes.extend(changes.codes);
    }
    (genesis(&model, &codes), model)
}

pub fn options(cache_bytes: usize, history: History) -> Options {
    Options { history, cache_bytes }
}

/// A chain under construction.
pub struct World {
    pub disk: Disk,
    pub genesis: Genesis,
    pub ledger: Ledger,
    pub options: Options,
    pub random: Random,
    /// The state after each committed block.
    pub models: BTreeMap<u64, Model>,
    pub blocks: BTreeMap<u64, ExecutedBlock>,
    pub codes: BTreeMap<B256, Bytes>,
}

impl World {
    pub fn new(seed: u64, options: Options) -> Self {
        let (genesis, model) = start();
        let disk = Disk::default();
        let ledger = Ledger::open_on(disk.clone(), &genesis, options.clone()).unwrap();
        let codes = (0..20).map(|number| (keccak256(code(number)), code(number))).collect();
        let (random, models) = (Random(seed), BTreeMap::from([(0, model)]));
        Self { disk, genesis, ledger, options, random, models, blocks: BTreeMap::new(), codes }
    }

    pub fn height(&self) -> u64 {
        self.ledger.finalized().number
    }

    pub fn model(&self) -> &Model {
        &self.models[&self.height()]
    }

    /// The next block, executed but not committed.
    pub fn next(&mut self) -> ExecutedBlock {
        let changes = self.random.changes(&self.models[&self.height()]);
        let overlay = Arc::new(self.ledger.state(Vec::new()).unwrap().apply(changes).unwrap());
        let parent = self.ledger.finalized();
        let header = Header { number: parent.number + 1, parent_hash: parent.hash(), ..Header::default() };
        self.block(header, overlay)
    }

    pub fn block(&mut self, header: Header, overlay: Arc<Overlay>) -> ExecutedBlock {
        let count = self.random.below(4);
        let transactions: Vec<Transaction> = (0..count)
            .map(|index| {
                let unsigned = TxLegacy { nonce: header.number * 100 + index, ..TxLegacy::default() };
                Transaction::Legacy(unsigned.into_signed(Signature::test_signature()))
            })
            .collect();
        let header = Header { state_root: overlay.state_root(), ..header };
        let block = Block::new(header, BlockBody { transactions, ..BlockBody::default() });
        let senders = (0..count).map(address).collect();
        ExecutedBlock { block: Arc::new(block), senders, receipts: self.random.receipts(count), overlay }
    }

    pub fn commit(&mut self, executed: ExecutedBlock) {
        self.ledger.commit(&executed, None).unwrap();
        self.committed(executed);
    }

    /// Notes a block that was committed.
    pub fn committed(&mut self, executed: ExecutedBlock) {
        let height = executed.block.height();
        let mut model = self.models[&(height - 1)].clone();
        model.apply(executed.overlay.changes());
        self.models.insert(height, model);
        self.blocks.insert(height, executed);
    }

    pub fn grow(&mut self, blocks: u64) {
        for _ in 0..blocks {
            let executed = self.next();
            self.commit(executed);
        }
    }

    pub fn reopen(&mut self) {
        self.ledger = Ledger::open_on(Disk::of(self.disk.image()), &self.genesis, self.options.clone()).unwrap();
        let image = self.disk.image();
        self.disk = Disk::of(image);
        self.ledger = Ledger::open_on(self.disk.clone(), &self.genesis, self.options.clone()).unwrap();
    }

    /// The trie nodes that a ledger with the same state would have if it had been made at once.
    pub fn fresh_nodes(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let disk = Disk::default();
        let genesis = genesis(self.model(), &self.codes);
        drop(Ledger::open_on(disk.clone(), &genesis, Options::default()).unwrap());
        disk.rows("nodes")
    }

    pub fn check_store(&self) {
        let executed = self.blocks.values();
        let snapshot = self.ledger.snapshot().unwrap();
        for ExecutedBlock { block, senders, receipts, .. } in executed {
            let height = block.height();
            assert_eq!(snapshot.block(height).unwrap().as_ref(), Some(&**block));
            assert_eq!(snapshot.hash_of(height).unwrap(), Some(block.hash()));
            assert_eq!(snapshot.height_of(block.hash()).unwrap(), Some(height));
            assert_eq!(snapshot.header(height).unwrap().unwrap().hash(), block.hash());
            assert_eq!(snapshot.header_by_hash(block.hash()).unwrap().unwrap().inner(), block.header());
            assert_eq!(snapshot.receipts(height).unwrap().as_ref(), Some(receipts));
            assert_eq!(snapshot.senders(height).unwrap().as_ref(), Some(senders));
            for (index, transaction) in block.transactions().iter().enumerate() {
                assert_eq!(snapshot.transaction(*transaction.tx_hash()).unwrap(), Some((height, index)));
            }
        }
        assert_eq!(snapshot.header(self.height() + 1).unwrap(), None);
        assert_eq!(snapshot.transaction(B256::ZERO).unwrap(), None);
    }
}

/// Logs of a receipt match the filter of `eth_getLogs`.
pub fn has_match(receipts: &[Receipt], addresses: &[Address], topics: &[Vec<B256>]) -> bool {
    receipts.iter().flat_map(|receipt| receipt.logs()).any(|log| {
        (addresses.is_empty() || addresses.contains(&log.address))
            && topics.len() <= log.topics().len()
            && topics.iter().zip(log.topics()).all(|(options, topic)| options.is_empty() || options.contains(topic))
    })
}
