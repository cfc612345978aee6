//! A chain that other clients made, across all forks, and what they answered about it.
//!
//! The vectors are not part of the project; without them these tests say so and pass.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, simulate::SimulatePayload, state::StateOverride};
use execution::{
    BlockContext,
    simulate::{CallError, Limits, Overrides, Setting, call, create_access_list, estimate_gas, simulate_v1},
    trace::{TraceLimits, trace_block, trace_transaction},
};
use serde_json::{Value, json};
use types::{Block, Genesis};

use crate::chain::{Chain, read_blocks, senders};

const LIMITS: Limits<'static> = Limits { gas: 50_000_000, interrupt: None };
const TRACE_LIMITS: TraceLimits<'static> = TraceLimits { bytes: 64 << 20, interrupt: None };

fn vectors() -> Option<PathBuf> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("LONJA_VECTORS").map_or(default, PathBuf::from).join("rpc-compat");
    if !folder.is_dir() {
        println!("the vectors were not found at {}", folder.display());
        return None;
    }
    Some(folder)
}

/// The chain, with its blocks by height.
fn import(folder: &Path) -> (Chain, Vec<Block>) {
    let genesis = Genesis::parse(&fs::read_to_string(folder.join("genesis.json")).unwrap()).unwrap();
    let mut chain = Chain::new(&genesis);
    let mut blocks = vec![(**genesis.block()).clone()];
    for block in read_blocks(&fs::read(folder.join("chain.rlp")).unwrap()) {
        chain.import(block.clone());
        blocks.push(block);
    }
    (chain, blocks)
}

#[test]
fn every_fork_executes_as_other_clients_did() {
    let Some(folder) = vectors() else { return };
    let (chain, blocks) = import(&folder);
    assert_eq!(blocks.len(), 55);
    assert_eq!(chain.state().state_root(), chain.header().state_root);
}

/// Request, expected answer, and whether only the answer's shape counts.
fn exchanges(folder: &Path, method: &str) -> BTreeMap<String, (Value, Value, bool)> {
    let mut exchanges = BTreeMap::new();
    for entry in fs::read_dir(folder.join(method)).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let line = |mark: &str| text.lines().find_map(|line| line.strip_prefix(mark)).unwrap();
        let request: Value = serde_json::from_str(line(">> ")).unwrap();
        let answer: Value = serde_json::from_str(line("<< ")).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        exchanges.insert(name, (request["params"].clone(), answer, text.contains("speconly:")));
    }
    exchanges
}

struct World {
    chain: Chain,
    blocks: Vec<Block>,
}

impl World {
    fn height(&self, tag: &Value) -> Option<usize> {
        match tag.as_str() {
            None | Some("latest" | "pending" | "safe" | "finalized") => Some(self.blocks.len() - 1),
            Some("earliest") => Some(0),
            Some(number) => {
                let height = usize::from_str_radix(number.strip_prefix("0x")?, 16).ok()?;
                (height < self.blocks.len()).then_some(height)
            }
        }
    }

    /// Runs `ask` on the state after the block at `height`.
    fn at<R>(&self, height: usize, ask: impl FnOnce(&Setting<'_>, &Block) -> R) -> R {
        let view = self.chain.ledger.state_at(height as u64).unwrap();
        let hashes = |height| self.chain.hash(height);
        let block = &self.blocks[height];
        let context = BlockContext::of(&self.chain.rules, block.header());
        ask(&Setting { rules: &self.chain.rules, view: &view, block_hashes: &hashes, context }, block)
    }

    fn check(&self, method: &str, folder: &Path, ask: impl Fn(&World, &Value) -> Result<Value, (i64, Value)>) {
        let mut failed = Vec::new();
        let exchanges = exchanges(folder, method);
        for (name, (params, expected, shape_only)) in &exchanges {
            let found = match ask(self, params) {
                Ok(result) => json!({ "result": result }),
                Err((code, data)) if data.is_null() => json!({ "error": { "code": code } }),
                Err((code, data)) => json!({ "error": { "code": code, "data": data } }),
            };
            let mut expected = expected.clone();
            let expected = expected.as_object_mut().unwrap();
            expected.remove("id");
            expected.remove("jsonrpc");
            if let Some(error) = expected.get_mut("error") {
                error.as_object_mut().unwrap().remove("message");
            }
            let expected = Value::Object(expected.clone());
            let same = if *shape_only {
                expected.get("error").is_some() == found.get("error").is_some()
            } else {
                differences("", &expected, &found).is_empty()
            };
            if !same {
                failed.push(format!("{name}:\n  {}", differences("", &expected, &found).join("\n  ")));
            }
        }
        println!("{method}: {} of {} as expected", exchanges.len() - failed.len(), exchanges.len());
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}

fn differences(path: &str, expected: &Value, found: &Value) -> Vec<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
            let null = Value::Null;
            keys.into_iter()
                .flat_map(|key| {
                    let (expected, found) = (expected.get(key).unwrap_or(&null), found.get(key).unwrap_or(&null));
                    differences(&format!("{path}.{key}"), expected, found)
                })
                .collect()
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .flat_map(|(index, (expected, found))| differences(&format!("{path}[{index}]"), expected, found))
            .collect(),
        _ if expected == found => Vec::new(),
        _ => vec![format!("{path}: expected {}, found {}", short(expected), short(found))],
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

fn call_failure(error: CallError) -> (i64, Value) {
    (error.code(), error.data().map_or(Value::Null, |data| json!(data)))
}

fn overrides(params: &Value, state: usize) -> Overrides {
    let of = |index: usize| params.get(index).filter(|value| !value.is_null()).cloned();
    Overrides {
        state: of(state).map(|value| serde_json::from_value::<StateOverride>(value).unwrap()),
        block: of(state + 1).map(|value| Box::new(serde_json::from_value::<BlockOverrides>(value).unwrap())),
    }
}

fn request(value: &Value) -> TransactionRequest {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn answers_as_other_clients_did() {
    let Some(folder) = vectors() else { return };
    let (chain, blocks) = import(&folder);
    let world = World { chain, blocks };
    world.check("eth_call", &folder, |world, params| {
        let height = world.height(&params[1]).unwrap();
        world.at(height, |setting, _| {
            let outcome = call(setting, &request(&params[0]), overrides(params, 2), LIMITS);
            outcome.map(|outcome| json!(outcome.output)).map_err(call_failure)
        })
    });
    world.check("eth_estimateGas", &folder, |world, params| {
        let height = world.height(params.get(1).unwrap_or(&Value::Null)).unwrap();
        world.at(height, |setting, _| {
            let gas = estimate_gas(setting, &request(&params[0]), overrides(params, 2), LIMITS);
            gas.map(|gas| json!(format!("0x{gas:x}"))).map_err(call_failure)
        })
    });
    world.check("eth_createAccessList", &folder, |world, params| {
        let height = world.height(&params[1]).unwrap();
        world.at(height, |setting, _| {
            let list = create_access_list(setting, &request(&params[0]), Overrides::default(), LIMITS);
            list.map(|list| json!(list)).map_err(call_failure)
        })
    });
    world.check("eth_simulateV1", &folder, |world, params| {
        let Some(height) = world.height(&params[1]) else { return Err((-32000, Value::Null)) };
        let payload: SimulatePayload = serde_json::from_value(params[0].clone()).unwrap();
        world.at(height, |setting, base| {
            let blocks = simulate_v1(setting, base.header(), payload, LIMITS);
            blocks.map(|blocks| json!(blocks)).map_err(|error| (error.code(), Value::Null))
        })
    });
}

#[test]
fn traces_as_other_clients_did() {
    let Some(folder) = vectors() else { return };
    let (chain, blocks) = import(&folder);
    let world = World { chain, blocks };
    let options = |params: &Value| match params.get(1) {
        Some(options) => serde_json::from_value(options.clone()).unwrap(),
        None => Default::default(),
    };
    let trace = |world: &World, height: usize, params: &Value| {
        world.at(height - 1, |setting, _| {
            let block = &world.blocks[height];
            let (rules, options) = (&world.chain.rules, options(params));
            let traces =
                trace_block(rules, setting.view, setting.block_hashes, block, &senders(block), options, TRACE_LIMITS);
            traces.map(|traces| json!(traces)).map_err(|_| (-32000, Value::Null))
        })
    };
    world.check("debug_traceBlockByNumber", &folder, |world, params| match world.height(&params[0]) {
        Some(height) if height > 0 => trace(world, height, params),
        Some(_) => Err((-32000, Value::Null)),
        // Which of its parameters is wrong, the interface says before it comes here.
        None => Err((-32602, Value::Null)),
    });
    world.check("debug_traceTransaction", &folder, |world, params| {
        let hash = params[0].as_str().unwrap();
        let place = world.blocks.iter().enumerate().find_map(|(height, block)| {
            let index = block.transactions().iter().position(|tx| tx.hash().to_string() == hash)?;
            Some((height, index))
        });
        let Some((height, index)) = place else { return Err((-32000, Value::Null)) };
        world.at(height - 1, |setting, _| {
            let block = &world.blocks[height];
            let (view, hashes, options) = (setting.view, setting.block_hashes, options(params));
            let rules = &world.chain.rules;
            let trace = trace_transaction(rules, view, hashes, block, &senders(block), index, options, TRACE_LIMITS);
            trace.map(|trace| json!(trace)).map_err(|_| (-32000, Value::Null))
        })
    });
}
