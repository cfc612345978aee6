//! The proof that the house is simulable: load, a crash, a restart, and the same seed twice.

use super::load::Load;
use super::simulation::{End, Simulation, run};
use std::time::Duration;

async fn scenario(mut simulation: Simulation, victim: usize) -> (End, usize) {
    let mut load = Load::new(simulation.genesis.chain_id());
    for step in 0..400 {
        match step {
            100 => simulation.crash(victim),
            200 => simulation.start(victim).await,
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
    (simulation.end(), load.submitted)
}

fn once(seed: u64) -> (End, String) {
    let ((end, submitted), audit) = run(seed, 100_000, |simulation| scenario(simulation, seed as usize % 4));
    assert_eq!(submitted, 400);
    assert!(end.heads.iter().all(|head| *head == end.heads[0]), "seed {seed}: {end:?}");
    assert!(end.state_roots.iter().all(|root| *root == end.state_roots[0]), "seed {seed}: {end:?}");
    println!("seed {seed}: height {}, root {}, audit {audit}", end.heads[0].0, end.state_roots[0]);
    (end, audit)
}

#[test]
fn the_same_seed_ends_in_the_same_ledger() {
    for seed in [1, 2, 3] {
        let first = once(seed);
        assert_eq!(first, once(seed), "seed {seed}");
    }
    assert_ne!(once(1).1, once(2).1, "seeds matter");
}
