//! A ledger in memory, and blocks on it.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use execution::{BlockContext, Builder, Execution, Rules, check_header, execute, seal};
use ledger::{ExecutedBlock, Ledger, Options, StateView};
use types::{Address, B256, Block, Genesis, Header, Recovered, Slot, recover};

pub struct Chain {
    pub rules: Rules,
    pub ledger: Ledger,
    pub head: Block,
    hashes: RefCell<BTreeMap<u64, B256>>,
}

pub const BENEFICIARY: Address = Address::repeat_byte(0xbe);

impl Chain {
    pub fn new(genesis: &Genesis) -> Chain {
        let options = Options { cache_bytes: 16 * 1024 * 1024, ..Options::default() };
        let ledger = Ledger::open_on(redb::backends::InMemoryBackend::new(), genesis, options).unwrap();
        let hashes = RefCell::new(BTreeMap::from([(0, genesis.hash())]));
        let head = (**genesis.block()).clone();
        Chain { rules: Rules::new(genesis).unwrap(), ledger, head, hashes }
    }

    pub fn state(&self) -> StateView {
        self.ledger.state(Vec::new()).unwrap()
    }

    pub fn hash(&self, height: u64) -> Option<B256> {
        self.hashes.borrow().get(&height).copied()
    }

    pub fn next_slot(&self) -> Slot {
        let view = self.head.height() + 1;
        Slot { epoch: 0, view, parent_view: view - 1, proposer: 0, timestamp_ms: self.head.timestamp_ms() + 50 }
    }

    pub fn next_context(&self) -> BlockContext {
        self.rules.next_context(self.head.header(), &self.next_slot(), BENEFICIARY)
    }

    /// Proposes a block of what is valid among `transactions`, verifies it as another node would, commits it.
    pub fn add(&mut self, transactions: &[Recovered]) -> (Block, Execution, Vec<execution::Added>) {
        let (block, added) = self.propose(transactions);
        let execution = self.commit(block.clone());
        (block, execution, added)
    }

    pub fn propose(&self, transactions: &[Recovered]) -> (Block, Vec<execution::Added>) {
        let (view, context) = (self.state(), self.next_context());
        let hashes = |height| self.hash(height);
        let mut builder = Builder::new(&self.rules, &view, &hashes, context.clone()).unwrap();
        let added: Vec<_> = transactions.iter().map(|transaction| builder.add(transaction).unwrap()).collect();
        let execution = builder.finish().unwrap();
        let state_root = view.apply(execution.changes.clone()).unwrap().state_root();
        let included =
            transactions.iter().zip(&added).filter(|(_, added)| matches!(added, execution::Added::Included { .. }));
        let included = included.map(|(transaction, _)| transaction.inner().clone()).collect();
        (seal(&context, &execution, state_root, included), added)
    }

    /// Verifies and commits.
    pub fn commit(&mut self, block: Block) -> Execution {
        let (view, senders) = (self.state(), senders(&block));
        let hashes = |height| self.hash(height);
        let execution = execute(&self.rules, &view, &hashes, &block, &senders).unwrap();
        let overlay = view.apply(execution.changes.clone()).unwrap();
        let (parent, slot) = (self.head.header(), self.next_slot());
        let root = overlay.state_root();
        check_header(&self.rules, parent, &slot, BENEFICIARY, &block, &execution, root).unwrap();
        self.append(block, senders, &execution, overlay);
        execution
    }

    /// A block of another network, under Ethereum's rules.
    pub fn import(&mut self, block: Block) -> Execution {
        execution::check_ethereum_header(&self.rules, self.header(), block.header()).unwrap();
        let (view, senders) = (self.state(), senders(&block));
        let hashes = |height| self.hash(height);
        let execution = execute(&self.rules, &view, &hashes, &block, &senders)
            .unwrap_or_else(|error| panic!("block {}: {error}", block.height()));
        let overlay = view.apply(execution.changes.clone()).unwrap();
        let spec = self.rules.spec_of(block.header());
        execution::check_execution(&block, spec, &execution, overlay.state_root()).unwrap();
        self.append(block, senders, &execution, overlay);
        execution
    }

    fn append(&mut self, block: Block, senders: Vec<Address>, execution: &Execution, overlay: ledger::Overlay) {
        let executed = ExecutedBlock {
            block: Arc::new(block.clone()),
            senders,
            receipts: execution.receipts.clone(),
            overlay: Arc::new(overlay),
        };
        self.ledger.commit(&executed, None).unwrap();
        self.hashes.borrow_mut().insert(block.height(), block.hash());
        self.head = block;
    }

    pub fn header(&self) -> &Header {
        self.head.header()
    }
}

pub fn senders(block: &Block) -> Vec<Address> {
    block.transactions().iter().map(|transaction| recover(transaction.clone()).unwrap().signer()).collect()
}

/// The blocks of an export file.
pub fn read_blocks(mut bytes: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let mut rest = bytes;
        let header = alloy_rlp::Header::decode(&mut rest).unwrap();
        let length = bytes.len() - rest.len() + header.payload_length;
        blocks.push(Block::decode_rlp(&bytes[..length]).unwrap());
        bytes = &bytes[length..];
    }
    blocks
}
