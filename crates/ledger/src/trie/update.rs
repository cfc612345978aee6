//! One batch of sorted changes applied to a trie in one walk.
//!
//! Each touched node is rebuilt once, whatever the number of keys below it. A rebuilt node stays
//! unplaced (`New::Made`) until its parent knows where it ends up, because a branch that lost its
//! second-last child merges with what remains; only then is it sealed: hashed, and its write recorded.
//!
//! Invariant on writes: the paths written, applied to the stored nodes of the old trie, give exactly
//! the stored nodes of the new one. For it, whoever replaces or moves a stored node first records its
//! removal, and sealing a node at the same path afterwards overwrites that record.

use super::node::{Child, Content, Hashed, Node, NodeSource, Root};
use crate::StorageError;
use alloy_primitives::{B256, keccak256};
use alloy_trie::{Nibbles, nodes::RlpNode};
use std::{collections::BTreeMap, ops::Range};

/// Node RLP by path, `None` for a node that is gone.
pub(crate) type Writes = BTreeMap<Nibbles, Option<Vec<u8>>>;

/// Gives the new content of the leaf with the `index`-th key, `None` to have none.
pub(crate) trait Edit {
    fn edit(&mut self, index: usize, old: Option<&Content>) -> Result<Option<Content>, StorageError>;
}

/// The trie after the edit of each of `keys` (sorted, distinct, 64 nibbles each), and what that
/// changes on disk.
pub(crate) fn update(
    root: &Root,
    source: &dyn NodeSource,
    owner: Option<B256>,
    born: u64,
    keys: &[Nibbles],
    edit: &mut dyn Edit,
) -> Result<(Root, Writes), StorageError> {
    debug_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "keys are sorted and distinct");
    let mut walk = Walk { source, owner, born, keys, edit, writes: Writes::new() };
    let old = match root {
        Root::Empty => Old::None,
        Root::Node(child) => Old::Child(child),
    };
    let root = match walk.visit(old, Nibbles::new(), 0..keys.len())? {
        New::None => Root::Empty,
        New::Kept(child) => Root::Node(child),
        New::Made(node) => Root::Node(walk.seal_root(node)),
    };
    Ok((root, walk.writes))
}

enum Old<'n> {
    None,
    Child(&'n Child),
    /// The rest of an extension that is being split: it has no place of its own yet.
    Bare(Node),
}

enum New {
    None,
    /// As it was, where it was.
    Kept(Child),
    /// Rebuilt, and not placed yet.
    Made(Node),
}

enum Step {
    Unchanged,
    Gone,
    Made(Node),
}

impl From<Option<Node>> for Step {
    fn from(node: Option<Node>) -> Self {
        node.map_or(Self::Gone, Self::Made)
    }
}

struct Walk<'a> {
    source: &'a dyn NodeSource,
    owner: Option<B256>,
    born: u64,
    keys: &'a [Nibbles],
    edit: &'a mut dyn Edit,
    writes: Writes,
}

impl<'a> Walk<'a> {
    /// Applies the edits of `range`, all of whose keys begin with `path`, to what stands at `path`.
    fn visit(&mut self, old: Old<'_>, path: Nibbles, range: Range<usize>) -> Result<New, StorageError> {
        match old {
            Old::None => Ok(match self.plant(path, None, range)? {
                Step::Made(node) => New::Made(node),
                Step::Gone | Step::Unchanged => New::None,
            }),
            Old::Bare(node) if range.is_empty() => Ok(New::Made(node)),
            Old::Bare(node) => Ok(match self.rebuild(&node, path, range)? {
                Step::Unchanged => New::Made(node),
                Step::Gone => New::None,
                Step::Made(node) => New::Made(node),
            }),
            Old::Child(child) if range.is_empty() => Ok(New::Kept(child.clone())),
            Old::Child(child) => {
                let node = child.open(self.source, self.owner, &path)?;
                let new = match self.rebuild(&node, path, range)? {
                    Step::Unchanged => return Ok(New::Kept(child.clone())),
                    Step::Gone => New::None,
                    Step::Made(node) => New::Made(node),
                };
                self.remove_stored(child, path);
                Ok(new)
            }
        }
    }

    fn rebuild(&mut self, node: &Node, path: Nibbles, range: Range<usize>) -> Result<Step, StorageError> {
        match node {
            Node::Leaf { key, content } => self.rebuild_leaf(key, content, path, range),
            Node::Extension { key, child } => self.rebuild_extension(key, child, path, range),
            Node::Branch { mask, children } => self.rebuild_branch(*mask, children, path, range),
        }
    }

    fn rebuild_leaf(
        &mut self,
        key: &Nibbles,
        content: &Content,
        path: Nibbles,
        range: Range<usize>,
    ) -> Result<Step, StorageError> {
        if range.len() > 1 || self.rest(range.start, path.len()) != *key {
            return self.plant(path, Some((path.join(key), content)), range);
        }
        Ok(match self.edit.edit(range.start, Some(content))? {
            None => Step::Gone,
            Some(new) if new.value == content.value => Step::Unchanged,
            Some(new) => Step::Made(Node::Leaf { key: *key, content: new }),
        })
    }

    fn rebuild_extension(
        &mut self,
        key: &Nibbles,
        child: &Child,
        path: Nibbles,
        range: Range<usize>,
    ) -> Result<Step, StorageError> {
        // Sorted keys: if the first and the last share this much with the extension, all do.
        let shared = |index: usize| self.rest(index, path.len()).common_prefix_length(key);
        let split = shared(range.start).min(shared(range.end - 1));
        if split == key.len() {
            return Ok(match self.visit(Old::Child(child), path.join(key), range)? {
                New::Kept(_) => Step::Unchanged,
                New::None => Step::Gone,
                New::Made(node) => Step::Made(self.lengthen(path, *key, node)),
            });
        }

        // Somebody leaves the extension at `split`: a branch may be needed there.
        let base = path.join(&key.slice(..split));
        let through = key.get_unchecked(split);
        let mut slots = empty_slots();
        for (nibble, group) in self.groups(range, base.len()) {
            let old = if nibble == through { rest_of_extension(key, split, child) } else { Old::None };
            slots[usize::from(nibble)] = self.visit(old, child_path(base, nibble), group)?;
        }
        let Some(node) = self.collapse(base, slots)? else { return Ok(Step::Gone) };
        let node = self.lengthen(path, key.slice(..split), node);
        Ok(match &node {
            Node::Extension { key: k, child: c } if k == key && c.reference() == child.reference() => Step::Unchanged,
            _ => Step::Made(node),
        })
    }

    fn rebuild_branch(
        &mut self,
        mask: u16,
        children: &[Child],
        path: Nibbles,
        range: Range<usize>,
    ) -> Result<Step, StorageError> {
        let mut slots = empty_slots();
        let mut changed = false;
        for (nibble, group) in self.groups(range, path.len()) {
            let child = Node::branch_child(mask, children, nibble);
            let new = self.visit(child.map_or(Old::None, Old::Child), child_path(path, nibble), group)?;
            changed |= match new {
                New::None => child.is_some(),
                New::Kept(_) => false,
                New::Made(_) => true,
            };
            slots[usize::from(nibble)] = new;
        }
        if !changed {
            return Ok(Step::Unchanged);
        }
        self.collapse(path, slots).map(Step::from)
    }

    /// Makes what stands at `path` where there was nothing, or only the leaf `old`.
    fn plant(
        &mut self,
        path: Nibbles,
        old: Option<(Nibbles, &Content)>,
        range: Range<usize>,
    ) -> Result<Step, StorageError> {
        let mut leaves: Vec<(Nibbles, Content)> = Vec::with_capacity(range.len() + 1);
        let mut changed = false;
        let mut waiting = old;
        for index in range {
            let key = self.keys[index];
            if let Some((_, content)) = waiting.take_if(|(at, _)| *at < key) {
                leaves.push((old.map_or(key, |(at, _)| at), content.clone()));
            }
            let before = waiting.take_if(|(at, _)| *at == key).map(|(_, content)| content);
            let after = self.edit.edit(index, before)?;
            changed |= before.map(|content| &content.value) != after.as_ref().map(|content| &content.value);
            leaves.extend(after.map(|content| (key, content)));
        }
        if let Some((at, content)) = waiting {
            leaves.push((at, content.clone()));
        }
        if !changed {
            return Ok(Step::Unchanged);
        }
        Ok(self.build(path, &leaves).into())
    }

    /// The subtrie at `path` of these leaves, sorted by key.
    fn build(&mut self, path: Nibbles, leaves: &[(Nibbles, Content)]) -> Option<Node> {
        let ((first, content), (last, _)) = (leaves.first()?, leaves.last()?);
        if leaves.len() == 1 {
            return Some(Node::Leaf { key: first.slice(path.len()..), content: content.clone() });
        }
        let base = first.slice(..first.common_prefix_length(last));
        let (mut mask, mut children) = (0u16, Vec::new());
        for group in leaves.chunk_by(|(a, _), (b, _)| a.get(base.len()) == b.get(base.len())) {
            let nibble = group[0].0.get_unchecked(base.len());
            let at = child_path(base, nibble);
            let node = self.build(at, group).expect("a group has at least one leaf");
            mask |= 1 << nibble;
            children.push(self.seal(at, node));
        }
        Some(self.lengthen(path, base.slice(path.len()..), Node::Branch { mask, children }))
    }

    /// A branch of what is in the slots, or what it comes down to when that is less than two.
    fn collapse(&mut self, path: Nibbles, slots: [New; 16]) -> Result<Option<Node>, StorageError> {
        let filled = slots.iter().filter(|slot| !matches!(slot, New::None)).count();
        let (mut mask, mut children) = (0u16, Vec::with_capacity(filled));
        for (nibble, slot) in (0u8..).zip(slots) {
            let at = child_path(path, nibble);
            let child = match slot {
                New::None => continue,
                slot if filled == 1 => return self.only_child(path, nibble, slot).map(Some),
                New::Kept(child) => child,
                New::Made(node) => self.seal(at, node),
            };
            mask |= 1 << nibble;
            children.push(child);
        }
        Ok((filled > 0).then_some(Node::Branch { mask, children }))
    }

    /// What takes the place of a branch at `path` with a single child.
    fn only_child(&mut self, path: Nibbles, nibble: u8, slot: New) -> Result<Node, StorageError> {
        let (prefix, at) = (Nibbles::from_nibbles([nibble]), child_path(path, nibble));
        match slot {
            New::None => unreachable!("the only child of a branch exists"),
            New::Made(node) => Ok(self.lengthen(path, prefix, node)),
            New::Kept(child) => match child.open(self.source, self.owner, &at)?.into_owned() {
                Node::Branch { .. } => Ok(Node::Extension { key: prefix, child }),
                node => {
                    self.remove_stored(&child, at);
                    Ok(self.lengthen(path, prefix, node))
                }
            },
        }
    }

    /// `node`, unplaced below `prefix`, as a node at `path`: paths are merged, a branch gets an
    /// extension above it.
    fn lengthen(&mut self, path: Nibbles, prefix: Nibbles, node: Node) -> Node {
        if prefix.is_empty() {
            return node;
        }
        match node {
            Node::Leaf { key, content } => Node::Leaf { key: prefix.join(&key), content },
            Node::Extension { key, child } => Node::Extension { key: prefix.join(&key), child },
            branch => Node::Extension { key: prefix, child: self.seal(path.join(&prefix), branch) },
        }
    }

    fn seal(&mut self, path: Nibbles, node: Node) -> Child {
        let rlp = node.rlp();
        let reference = RlpNode::from_rlp(&rlp);
        if reference.is_hash() {
            self.writes.insert(path, Some(rlp));
        }
        Child::Loaded(Hashed::new(node, reference, self.born))
    }

    /// A root is stored and referenced by its hash even when it is short.
    fn seal_root(&mut self, node: Node) -> Child {
        let rlp = node.rlp();
        let reference = RlpNode::word_rlp(&keccak256(&rlp));
        self.writes.insert(Nibbles::new(), Some(rlp));
        Child::Loaded(Hashed::new(node, reference, self.born))
    }

    fn remove_stored(&mut self, child: &Child, path: Nibbles) {
        if child.reference().is_hash() {
            self.writes.insert(path, None);
        }
    }

    fn rest(&self, index: usize, depth: usize) -> Nibbles {
        self.keys[index].slice(depth..)
    }

    /// The keys of `range` by their nibble at `depth`; groups may be empty.
    fn groups(&self, range: Range<usize>, depth: usize) -> [(u8, Range<usize>); 16] {
        let mut start = range.start;
        std::array::from_fn(|nibble| {
            let nibble = nibble as u8;
            let count = self.keys[start..range.end].iter().take_while(|key| key.get_unchecked(depth) == nibble).count();
            let group = start..start + count;
            start += count;
            (nibble, group)
        })
    }
}

fn empty_slots() -> [New; 16] {
    std::array::from_fn(|_| New::None)
}

fn child_path(mut path: Nibbles, nibble: u8) -> Nibbles {
    path.push(nibble);
    path
}

/// What is left of an extension below a branch at its `split`-th nibble.
fn rest_of_extension<'n>(key: &Nibbles, split: usize, child: &'n Child) -> Old<'n> {
    match key.slice(split + 1..) {
        rest if rest.is_empty() => Old::Child(child),
        rest => Old::Bare(Node::Extension { key: rest, child: child.clone() }),
    }
}
