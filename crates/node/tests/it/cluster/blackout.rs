//! All machines lose power at once, under load, again and again: what any of them reported final is there.

use super::load::Load;
use super::simulation::{Simulation, run};
use std::collections::BTreeMap;
use std::time::Duration;
use types::B256;

async fn scenario(mut simulation: Simulation) {
    let mut load = Load::new(simulation.genesis.chain_id());
    let mut reported: BTreeMap<u64, B256> = BTreeMap::new();
    for cycle in 0..6 {
        for step in 0..60 + 7 * cycle {
            load.submit(&mut simulation);
            simulation.sleep(Duration::from_millis(17)).await;
            if step % 30 == 29 {
                load.retry(&simulation);
            }
        }
        for index in 0..4 {
            let finalized = simulation.machines[index].chain().finalized();
            reported.insert(finalized.number, finalized.hash());
            simulation.crash(index);
        }
        for index in 0..4 {
            simulation.start(index).await;
        }
        let highest = *reported.keys().last().unwrap();
        for index in 0..4 {
            simulation.wait_for_height(index, highest + 1).await;
        }
        for (height, hash) in &reported {
            let snapshot = simulation.machines[cycle % 4].chain().ledger().snapshot().unwrap();
            assert_eq!(snapshot.hash_of(*height).unwrap(), Some(*hash), "block {height} was final before the blackout");
        }
    }
    for _ in 0..60 {
        if load.retry(&simulation) == 0 {
            break;
        }
        simulation.sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(load.retry(&simulation), 0, "not everything that was submitted is final");
    simulation.settle().await;
    simulation.check_ledgers();
}

#[test]
fn what_was_final_survives_blackouts() {
    for seed in [31, 32] {
        run(seed, 40, scenario);
    }
}
