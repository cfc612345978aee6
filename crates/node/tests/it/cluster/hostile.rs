//! One validator sends rubbish on every channel: the others shut it out, where it harms, and go on.

use super::load::Load;
use super::simulation::{Simulation, run};
use commonware_p2p::{Recipients, Sender as _};
use commonware_runtime::Quota;
use commonware_utils::NZU32;
use network::Quotas;
use rand_core::Rng as _;
use std::time::Duration;

const LIAR: usize = 3;

/// The liar belongs to the ledger: its rubbish carries the right prefix, half of the time.
fn rubbish(simulation: &mut Simulation) -> Vec<u8> {
    let mut bytes = vec![0; (simulation.context.next_u32() % 400) as usize];
    simulation.context.fill_bytes(&mut bytes);
    match simulation.context.next_u32() % 2 {
        0 => bytes,
        _ => {
            let mut prefixed = Vec::new();
            let ledger = commonware_codec::varint::UInt(simulation.genesis.ledger_id().channel());
            commonware_codec::Write::write(&ledger, &mut prefixed);
            [prefixed, bytes].concat()
        }
    }
}

async fn scenario(mut simulation: Simulation) {
    simulation.wait_for_height(0, 1).await;
    simulation.crash(LIAR);
    let control = simulation.oracle.control(simulation.machines[LIAR].public());
    let mut channels = Vec::new();
    for (number, _) in Quotas::ALL {
        channels.push(control.register(number, Quota::per_second(NZU32!(10_000))).await.unwrap());
    }
    let mut load = Load::new(simulation.genesis.chain_id());
    let before = simulation.heights()[0];
    for step in 0..300 {
        for (sender, _) in &mut channels {
            let message = rubbish(&mut simulation);
            let _ = sender.send(Recipients::All, message, false);
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
    assert!(simulation.heights()[0] > before + 20);
    simulation.settle().await;
    simulation.check_ledgers();
}

#[test]
fn rubbish_on_every_channel_stops_nobody() {
    run(41, 100_000, scenario);
}
