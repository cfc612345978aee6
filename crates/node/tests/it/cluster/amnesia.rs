//! A validator that lost its engine directory, or its watermark, does not vote where it may have voted before.

use super::load::Load;
use super::simulation::{Simulation, run};
use consensus::simplex::watermark::{Keep as _, RESERVE};
use std::time::Duration;

const VICTIM: usize = 1;

async fn busy(simulation: &mut Simulation, load: &mut Load, steps: usize) {
    for step in 0..steps {
        load.submit(simulation);
        simulation.sleep(Duration::from_millis(50)).await;
        if step % 20 == 19 {
            load.retry(simulation);
        }
    }
}

/// The last view of a certificate that carries the victim's signature, as an honest machine saw it.
fn last_vote(simulation: &Simulation) -> u64 {
    simulation.machines[0].status().committee[VICTIM].last_view
}

async fn wiped_engine(mut simulation: Simulation) {
    let mut load = Load::new(simulation.genesis.chain_id());
    busy(&mut simulation, &mut load, 60).await;
    let voted = last_vote(&simulation);
    let bound = simulation.machines[VICTIM].watermark.load().unwrap().unwrap().view;
    assert!(voted > 0 && bound > voted);
    simulation.crash(VICTIM);
    simulation.machines[VICTIM].partition = "wiped".into();
    simulation.start(VICTIM).await;
    busy(&mut simulation, &mut load, 100).await;
    assert!(last_vote(&simulation) <= voted, "it voted below the bound");
    assert!(!simulation.machines[VICTIM].status().votes);
    simulation.settle().await;
    simulation.check_ledgers();

    // The committee goes on; behind the bound the validator takes part again.
    while simulation.machines[0].status().view < bound {
        busy(&mut simulation, &mut load, 20).await;
    }
    busy(&mut simulation, &mut load, 60).await;
    assert!(last_vote(&simulation) >= bound, "it votes again");
    assert!(simulation.machines[VICTIM].status().votes);
    simulation.settle().await;
    simulation.check_ledgers();
}

async fn lost_watermark(mut simulation: Simulation) {
    let mut load = Load::new(simulation.genesis.chain_id());
    busy(&mut simulation, &mut load, 60).await;
    let voted = last_vote(&simulation);
    simulation.crash(VICTIM);
    simulation.machines[VICTIM].watermark = Default::default();
    simulation.start(VICTIM).await;
    busy(&mut simulation, &mut load, 400).await;
    assert!(last_vote(&simulation) <= voted, "it voted without knowing");
    while simulation.machines[0].status().view < voted + 2 * RESERVE {
        busy(&mut simulation, &mut load, 20).await;
    }
    busy(&mut simulation, &mut load, 60).await;
    assert!(last_vote(&simulation) > voted + RESERVE, "it votes again");
    simulation.settle().await;
    simulation.check_ledgers();
}

#[test]
fn a_wiped_engine_is_silent_below_its_watermark() {
    run(21, 100_000, wiped_engine);
}

#[test]
fn a_lost_watermark_is_waited_out() {
    run(22, 100_000, lost_watermark);
}
