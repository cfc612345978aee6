//! Epochs: short ones, under load, with a machine that misses several of them.

use super::load::Load;
use super::simulation::{Simulation, run};
use std::time::Duration;

async fn scenario(mut simulation: Simulation) {
    let mut load = Load::new(simulation.genesis.chain_id());
    for step in 0..600 {
        match step {
            50 => simulation.crash(2),
            400 => simulation.start(2).await,
            _ => {}
        }
        load.submit(&mut simulation);
        simulation.sleep(Duration::from_millis(20)).await;
        if step % 50 == 49 {
            load.retry(&simulation);
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
    let epoch = simulation.machines[2].status().epoch;
    println!("height {}, epoch {epoch}", simulation.heights()[0]);
    assert!(epoch >= 5, "epoch {epoch}");
    assert_eq!(epoch, simulation.machines[0].status().epoch);
}

#[test]
fn a_machine_that_missed_epochs_hops_through_them() {
    run(11, 20, scenario);
}
