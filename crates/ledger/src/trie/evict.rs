//! Keeps the part of a trie that stays in memory between blocks bounded.
//!
//! A node is as old as the last change below it, so dropping what was built before some height drops
//! what has not been written for longest, and the walk only visits what stays.

use super::node::{Child, Content, Hashed, Node, Root};
use std::sync::Arc;

/// The same trie with nodes built before `oldest` replaced by their references.
pub(crate) fn evict(root: &Root, oldest: u64) -> Root {
    match root {
        Root::Empty => Root::Empty,
        Root::Node(child) => Root::Node(evict_child(child, oldest)),
    }
}

fn evict_child(child: &Child, oldest: u64) -> Child {
    match child {
        Child::Loaded(hashed) if hashed.born >= oldest => Child::Loaded(evict_below(hashed, oldest)),
        other => Child::Unloaded(other.reference().clone()),
    }
}

fn evict_below(hashed: &Hashed, oldest: u64) -> Arc<Hashed> {
    let node = match &hashed.node {
        Node::Leaf { key, content } => {
            let storage = content.storage.as_ref().filter(|root| root.born >= oldest);
            let storage = storage.map(|root| evict_below(root, oldest));
            Node::Leaf { key: *key, content: Content { value: content.value.clone(), storage } }
        }
        Node::Extension { key, child } => Node::Extension { key: *key, child: evict_child(child, oldest) },
        Node::Branch { mask, children } => {
            Node::Branch { mask: *mask, children: children.iter().map(|child| evict_child(child, oldest)).collect() }
        }
    };
    Hashed::new(node, hashed.reference.clone(), hashed.born)
}
