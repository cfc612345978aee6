//! Fee sources agree with each other and with what is charged.

use crate::world::*;
use serde_json::{Value, json};
use types::FeeMode;

#[tokio::test(flavor = "multi_thread")]
async fn free_means_zero_everywhere() {
    let world = World::new(FeeMode::Free).await;
    let hash = world.mine(&log_call(0, 0, 1)).await;
    world.mine(&transfer(0, 1)).await;
    for method in ["eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_baseFee", "eth_blobBaseFee"] {
        assert_eq!(world.ok(method, json!([])).await, "0x0", "{method}");
    }
    let history = world.ok("eth_feeHistory", json!(["0x4", "latest", [10, 50, 90]])).await;
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["baseFeePerGas"], json!(["0x0", "0x0", "0x0", "0x0"]));
    assert_eq!(history["reward"], json!([["0x0", "0x0", "0x0"], ["0x0", "0x0", "0x0"], ["0x0", "0x0", "0x0"]]));
    assert_eq!(world.ok("eth_getBlockByNumber", json!(["latest"])).await["baseFeePerGas"], "0x0");
    assert_eq!(world.ok("eth_getTransactionReceipt", json!([hash])).await["effectiveGasPrice"], "0x0");
    assert_eq!(world.ok("eth_getTransactionByHash", json!([hash])).await["gasPrice"], "0x0");
    let filled = world.ok("eth_fillTransaction", json!([{"from": key(3).address(), "to": LOGGER}])).await;
    for field in ["maxFeePerGas", "maxPriorityFeePerGas"] {
        assert_eq!(filled["tx"][field], "0x0", "{field}");
    }
    assert_eq!(world.ok("eth_getBalance", json!([key(0).address(), "latest"])).await, "0x0", "nothing was charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_price_is_the_price() {
    let world = World::new(FeeMode::Fixed { gas_price: 1_000_000_000 }).await;
    world.mine(&transfer(0, 0)).await;
    assert_eq!(world.ok("eth_gasPrice", json!([])).await, "0x3b9aca00");
    assert_eq!(world.ok("eth_maxPriorityFeePerGas", json!([])).await, "0x0");
    let history = world.ok("eth_feeHistory", json!([2, "latest", []])).await;
    assert_eq!(history["baseFeePerGas"], json!(["0x3b9aca00", "0x3b9aca00", "0x3b9aca00"]));
    assert_eq!(history.get("reward"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_market_of_eip_1559() {
    let world = World::new(FeeMode::Eip1559).await;
    let hash = world.mine(&log_call(0, 0, 1)).await;
    let history = world.ok("eth_feeHistory", json!(["0x1", "latest", [50]])).await;
    let next = history["baseFeePerGas"][1].clone();
    world.seal();
    assert_eq!(world.ok("eth_getBlockByNumber", json!(["latest"])).await["baseFeePerGas"], next, "as predicted");
    assert_eq!(history["reward"], json!([["0x3b9aca00"]]));
    assert_eq!(world.ok("eth_maxPriorityFeePerGas", json!([])).await, "0x3b9aca00", "what others paid");
    let block = world.ok("eth_getBlockByNumber", json!(["0x1"])).await;
    let receipt = world.ok("eth_getTransactionReceipt", json!([hash])).await;
    let wei = |value: &Value| u128::from_str_radix(&value.as_str().unwrap()[2..], 16).unwrap();
    assert_eq!(wei(&receipt["effectiveGasPrice"]), wei(&block["baseFeePerGas"]) + 1_000_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_fee_histories() {
    let world = World::new(FeeMode::Eip1559).await;
    assert_eq!(world.fails("eth_feeHistory", json!(["0x1", "latest", [101]])).await.0, -32000);
    assert_eq!(world.fails("eth_feeHistory", json!(["0x1", "latest", [50, 50]])).await.0, -32000);
    assert_eq!(world.fails("eth_feeHistory", json!(["0x1", "0x9"])).await.0, -32000);
    assert_eq!(world.fails("eth_feeHistory", json!([])).await.0, -32602);
    assert_eq!(world.ok("eth_feeHistory", json!(["0xffffff", "latest"])).await["oldestBlock"], "0x0");
    assert_eq!(world.ok("eth_feeHistory", json!(["0x0", "latest"])).await["oldestBlock"], "0x0");
}
