//! Nodes, their references, and how they are read and written.

use crate::StorageError;
use alloy_primitives::{B256, keccak256};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};
use std::{borrow::Cow, fmt, sync::Arc};

/// Where nodes that are not in memory are read from. `owner` is `None` for the trie of accounts,
/// and the hash of the address for an account's storage trie.
pub(crate) trait NodeSource {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Vec<u8>>, StorageError>;
}

/// What a leaf holds: the RLP of its value and, in the trie of accounts, the account's storage trie
/// when some of it is in memory.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub value: Arc<[u8]>,
    pub storage: Option<Arc<Hashed>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Leaf {
        key: Nibbles,
        content: Content,
    },
    Extension {
        key: Nibbles,
        child: Child,
    },
    /// One child for each bit of the mask, in order.
    Branch {
        mask: u16,
        children: Vec<Child>,
    },
}

/// A node and what is known about it from the moment it is built.
#[derive(Debug)]
pub(crate) struct Hashed {
    pub node: Node,
    pub reference: RlpNode,
    /// Height of the block that built it: every ancestor of a node is at least as young.
    pub born: u64,
    /// Nodes in memory from here down, this one and storage tries included.
    pub loaded: u32,
}

#[derive(Clone)]
pub(crate) enum Child {
    Loaded(Arc<Hashed>),
    Unloaded(RlpNode),
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.reference())
    }
}

impl Child {
    pub fn reference(&self) -> &RlpNode {
        match self {
            Self::Loaded(hashed) => &hashed.reference,
            Self::Unloaded(reference) => reference,
        }
    }

    /// The node, read from the store if it is not in memory.
    pub fn open(
        &self,
        source: &dyn NodeSource,
        owner: Option<B256>,
        path: &Nibbles,
    ) -> Result<Cow<'_, Node>, StorageError> {
        match self {
            Self::Loaded(hashed) => Ok(Cow::Borrowed(&hashed.node)),
            Self::Unloaded(reference) => read(source, owner, path, reference).map(Cow::Owned),
        }
    }

    fn loaded(&self) -> u32 {
        match self {
            Self::Loaded(hashed) => hashed.loaded,
            Self::Unloaded(_) => 0,
        }
    }
}

/// A whole trie.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    Empty,
    Node(Child),
}

impl Root {
    /// A trie of which nothing is in memory.
    pub fn unloaded(hash: B256) -> Self {
        match hash {
            EMPTY_ROOT_HASH => Self::Empty,
            hash => Self::Node(Child::Unloaded(RlpNode::word_rlp(&hash))),
        }
    }

    pub fn hash(&self) -> B256 {
        match self {
            Self::Empty => EMPTY_ROOT_HASH,
            Self::Node(child) => child.reference().as_hash().expect("a root is referenced by its hash"),
        }
    }

    /// Nodes in memory.
    pub fn loaded(&self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Node(child) => child.loaded(),
        }
    }
}

impl Hashed {
    pub fn new(node: Node, reference: RlpNode, born: u64) -> Arc<Self> {
        let below = match &node {
            Node::Leaf { content, .. } => content.storage.as_ref().map_or(0, |root| root.loaded),
            Node::Extension { child, .. } => child.loaded(),
            Node::Branch { children, .. } => children.iter().fold(0, |sum, child| child.loaded().saturating_add(sum)),
        };
        Arc::new(Self { node, reference, born, loaded: below.saturating_add(1) })
    }
}

impl Node {
    pub fn rlp(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            Self::Leaf { key, content } => LeafNodeRef { key, value: &content.value }.encode(&mut out),
            Self::Extension { key, child } => ExtensionNodeRef { key, child: child.reference() }.encode(&mut out),
            Self::Branch { mask, children } => {
                let stack: Vec<RlpNode> = children.iter().map(|child| child.reference().clone()).collect();
                BranchNodeRef::new(&stack, TrieMask::new(*mask)).encode(&mut out)
            }
        }
        out
    }

    /// The child of a branch at `nibble`.
    pub fn branch_child(mask: u16, children: &[Child], nibble: u8) -> Option<&Child> {
        let bit = 1u16 << nibble;
        (mask & bit != 0).then(|| &children[(mask & (bit - 1)).count_ones() as usize])
    }

    fn from_rlp(mut rlp: &[u8]) -> Result<Self, String> {
        let node = TrieNode::decode(&mut rlp).map_err(|error| error.to_string())?;
        if !rlp.is_empty() {
            return Err("bytes after the node".into());
        }
        match node {
            TrieNode::EmptyRoot => Err("an empty node".into()),
            TrieNode::Leaf(leaf) => {
                Ok(Self::Leaf { key: leaf.key, content: Content { value: leaf.value.into(), storage: None } })
            }
            TrieNode::Extension(node) => Ok(Self::Extension { key: node.key, child: Child::Unloaded(node.child) }),
            TrieNode::Branch(node) => Ok(Self::Branch {
                mask: node.state_mask.get(),
                children: node.stack.into_iter().map(Child::Unloaded).collect(),
            }),
        }
    }
}

/// Names a node in error messages.
pub(crate) fn place(owner: Option<B256>, path: &Nibbles) -> String {
    let digits: String = path.iter().map(|nibble| char::from(b"0123456789abcdef"[usize::from(nibble & 15)])).collect();
    match owner {
        None => format!("account trie node at path [{digits}]"),
        Some(owner) => format!("storage trie node of account hash {owner} at path [{digits}]"),
    }
}

/// The RLP of the node behind `reference`, compared with it.
pub(crate) fn read_rlp(
    source: &dyn NodeSource,
    owner: Option<B256>,
    path: &Nibbles,
    reference: &RlpNode,
) -> Result<Vec<u8>, StorageError> {
    let Some(expected) = reference.as_hash() else { return Ok(reference.to_vec()) };
    let rlp = source.node(owner, path)?.ok_or_else(|| StorageError::corrupt(place(owner, path), "missing"))?;
    let found = keccak256(&rlp);
    if found != expected {
        return Err(StorageError::corrupt(place(owner, path), format_args!("hash {found}, expected {expected}")));
    }
    Ok(rlp)
}

fn read(
    source: &dyn NodeSource,
    owner: Option<B256>,
    path: &Nibbles,
    reference: &RlpNode,
) -> Result<Node, StorageError> {
    let rlp = read_rlp(source, owner, path, reference)?;
    Node::from_rlp(&rlp).map_err(|what| StorageError::corrupt(place(owner, path), what))
}
