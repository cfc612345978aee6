//! An idle cluster: few blocks, and a lone transaction is final at network speed all the same.

use super::load::Load;
use super::simulation::{Simulation, run};
use commonware_runtime::Clock as _;
use std::time::Duration;

async fn scenario(mut simulation: Simulation) {
    simulation.wait_for_height(0, 1).await;
    for machine in &simulation.machines {
        let node = machine.node.as_ref().unwrap();
        assert_eq!((node.presence.borrow().peers.len(), machine.status().connected), (3, 4), "{}", machine.partition);
    }
    let before = simulation.heights()[0];
    simulation.sleep(Duration::from_secs(60)).await;
    let added = simulation.heights()[0] - before;
    assert!((5..=7).contains(&added), "{added} blocks in an idle minute with a heartbeat of 10 s");

    let mut load = Load::new(simulation.genesis.chain_id());
    let mut worst = Duration::ZERO;
    for pause_ms in [3_000, 3_333, 7_001, 1_234, 12_345] {
        simulation.sleep(Duration::from_millis(pause_ms)).await;
        let hash = load.submit(&mut simulation);
        let start = simulation.context.current();
        while !simulation.is_final_everywhere(&hash) {
            simulation.sleep(Duration::from_millis(1)).await;
        }
        worst = worst.max(simulation.context.current().duration_since(start).unwrap());
    }
    println!("lone transaction final everywhere after at most {worst:?}");
    // Gossip, proposal, notarization, finalization: four hops of 10 ms; a turn that ends meanwhile costs three more.
    assert!(worst < Duration::from_millis(120), "{worst:?}");
    simulation.settle().await;
    simulation.check_ledgers();
}

#[test]
fn an_idle_cluster_beats_and_answers_at_once() {
    run(7, 100_000, scenario);
}
