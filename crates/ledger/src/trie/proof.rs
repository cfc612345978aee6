//! Merkle proofs: the nodes on the way to a key.

use super::node::{Child, Content, Node, NodeSource, Root, place, read_rlp};
use crate::StorageError;
use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;

/// The nodes from the root to where `key` is, or would be; nodes inlined in their parent are not
/// listed of their own. Of inclusion when there is content, of exclusion otherwise.
pub(crate) struct Proven {
    pub nodes: Vec<Bytes>,
    pub content: Option<Content>,
}

pub(crate) fn prove(
    root: &Root,
    source: &dyn NodeSource,
    owner: Option<B256>,
    key: &B256,
) -> Result<Proven, StorageError> {
    let key = Nibbles::unpack(key);
    let mut proven = Proven { nodes: Vec::new(), content: None };
    let Root::Node(child) = root else { return Ok(proven) };
    let (mut child, mut path) = (child.clone(), Nibbles::new());
    loop {
        if child.reference().is_hash() {
            proven.nodes.push(rlp(&child, source, owner, &path)?.into());
        }
        let node = child.open(source, owner, &path)?.into_owned();
        let rest = key.slice(path.len()..);
        child = match node {
            Node::Leaf { key, content } => {
                proven.content = (key == rest).then_some(content);
                return Ok(proven);
            }
            Node::Extension { key, child } if rest.starts_with(&key) => {
                path.extend(&key);
                child
            }
            Node::Extension { .. } => return Ok(proven),
            Node::Branch { mask, children } => {
                let nibble = rest.first().ok_or_else(|| StorageError::corrupt(place(owner, &path), "too deep"))?;
                let Some(child) = Node::branch_child(mask, &children, nibble) else { return Ok(proven) };
                path.push(nibble);
                child.clone()
            }
        };
    }
}

fn rlp(child: &Child, source: &dyn NodeSource, owner: Option<B256>, path: &Nibbles) -> Result<Vec<u8>, StorageError> {
    match child {
        Child::Loaded(hashed) => Ok(hashed.node.rlp()),
        Child::Unloaded(reference) => read_rlp(source, owner, path, reference),
    }
}
