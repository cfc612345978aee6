"""Foundry: cast and forge as a person types them, with nothing but a private key and a URL."""

import json
import os
import subprocess
import tempfile
import time

from checks import FREE, FUNDER_KEY, HTTP, WS, artifact, check, finish, key

HERE = os.path.dirname(os.path.abspath(__file__))
BINARIES = [f"{HERE}/node_modules/@foundry-rs/{tool}-linux-amd64/bin" for tool in ("cast", "forge")]
SCRATCH = tempfile.mkdtemp(prefix="outside-foundry-")
ENVIRONMENT = {
    **os.environ,
    "PATH": ":".join([*BINARIES, os.environ["PATH"]]),
    "HOME": SCRATCH,  # no one's keystores or caches
    "ETH_RPC_URL": HTTP,
    "FOUNDRY_BROADCAST": f"{SCRATCH}/broadcast",
    "FOUNDRY_OFFLINE": "true",
    "NO_COLOR": "1",
}


def run(*words, fails=False):
    """Standard output of a command; with `fails`, what it complains of when it fails as it should."""
    done = subprocess.run(words, cwd=HERE, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    if fails:
        assert done.returncode != 0, f"it was accepted: {done.stdout}"
        return done.stdout + done.stderr
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout.strip()


def cast(*words, **how):
    return run("cast", *words, **how)


def send(*words, sender="alice"):
    """`cast send`: the receipt, of a transaction that succeeded."""
    receipt = json.loads(cast("send", "--json", "--private-key", key(sender), *words))
    assert receipt["status"] == "0x1", receipt
    assert (int(receipt["effectiveGasPrice"], 16) == 0) == FREE, receipt["effectiveGasPrice"]
    return receipt


def call(*words):
    return cast("call", *words).split()[0]


alice, bob, nobody = (cast("wallet", "address", "--private-key", key(name)) for name in ("alice", "bob", "nobody"))


@check("the account has no balance" if FREE else "fund an account", needed=True)
def _():
    if not FREE:
        for to in (alice, bob):
            cast("send", "--private-key", FUNDER_KEY, "--value", "1ether", to)
    assert cast("balance", alice) == ("0" if FREE else str(10**18))


@check("chain-id, block-number, gas-price, base-fee, client")
def _():
    assert int(cast("chain-id")) > 0 and int(cast("block-number")) >= 0 and cast("client")
    prices = [int(cast("gas-price")), int(cast("base-fee"))]
    assert prices == [0, 0] if FREE else min(prices) > 0, prices


@check("forge create: ERC-20", needed=True)
def coin():
    words = ["contracts/Coin.sol:Coin", "--broadcast", "--json", "--rpc-url", HTTP, "--private-key", key("alice")]
    made = json.loads(run("forge", "create", *words, "--constructor-args", "Foundry", "FND", "1000000"))
    assert made["deployer"] == alice
    assert len(cast("code", made["deployedTo"])) > 2
    return made["deployedTo"]


def create(name):
    return send("--create", artifact(name)["bytecode"])["contractAddress"]


@check("cast send --create")
def stall():
    return create("Stall")


@check("cast send: transfer ERC-20", needed=True)
def transfer():
    receipt = send(coin, "transfer(address,uint256)", bob, "400")
    assert call(coin, "balanceOf(address)(uint256)", bob) == "400"
    sent = json.loads(cast("tx", "--json", receipt["transactionHash"]))
    if FREE:  # cast cannot be talked out of its one wei: the node has to live with it
        assert int(sent["maxFeePerGas"], 16) <= 1 and cast("balance", alice) == "0"
    assert json.loads(cast("receipt", "--json", receipt["transactionHash"]))["blockHash"] == receipt["blockHash"]
    return receipt


@check("forge script: three tokens and their transfers in one broadcast")
def _():
    words = ["foundry/Market.s.sol", "--sig", "run(address)", bob, "--broadcast", "--slow", "--rpc-url", HTTP]
    run("forge", "script", *words, "--private-key", key("alice"))
    [chain] = os.listdir(f"{SCRATCH}/broadcast/Market.s.sol")
    with open(f"{SCRATCH}/broadcast/Market.s.sol/{chain}/run-latest.json") as file:
        record = json.load(file)
    assert [r["status"] for r in record["receipts"]] == ["0x1"] * 8
    token, deed, wares = (record["returns"][name]["value"] for name in ("coin", "deed", "wares"))
    assert call(token, "balanceOf(address)(uint256)", bob) == "250"
    assert call(deed, "ownerOf(uint256)(address)", "1") == bob
    assert call(wares, "balanceOf(address,uint256)(uint256)", bob, "1") == "1"


@check("forge script again, without --slow")
def _():
    words = ["foundry/Market.s.sol", "--sig", "run(address)", bob, "--broadcast", "--rpc-url", HTTP]
    run("forge", "script", *words, "--private-key", key("alice"))


@check("cast logs")
def _():
    words = ["--json", "--from-block", transfer["blockNumber"], "--address", coin]
    logs = json.loads(cast("logs", *words, "Transfer(address indexed,address indexed,uint256)"))
    assert [log["transactionHash"] for log in logs] == [transfer["transactionHash"]]
    assert int(logs[0]["data"], 16) == 400


@check("cast logs --subscribe over WebSocket")
def _():
    words = ["cast", "logs", "--subscribe", "--rpc-url", WS, "--address", coin]
    with open(f"{SCRATCH}/logs", "w+") as output:
        listener = subprocess.Popen(words, env=ENVIRONMENT, stdout=output, stderr=output)
        try:
            time.sleep(0.5)
            sent = send(coin, "transfer(address,uint256)", bob, "2")["transactionHash"]
            deadline = time.monotonic() + 5
            while sent not in open(output.name).read():
                assert time.monotonic() < deadline, f"no log: {open(output.name).read()}"
                time.sleep(0.05)
        finally:
            listener.kill()
            listener.wait()


@check("cast block, tx, nonce, storage, index, codehash")
def _():
    block = json.loads(cast("block", "--json", transfer["blockNumber"]))
    assert block["hash"] == transfer["blockHash"] and transfer["transactionHash"] in block["transactions"]
    assert int(cast("block-number", "finalized")) <= int(cast("block-number"))
    assert int(cast("nonce", alice)) >= 3
    slot = cast("index", "address", bob, "0")
    assert int(cast("storage", coin, slot), 16) == 402
    assert cast("codehash", coin) == cast("keccak", cast("code", coin))


@check("cast proof")
def _():
    proof = json.loads(cast("proof", coin, "2"))
    assert int(proof["storageProof"][0]["value"], 16) == 1_000_000 and proof["accountProof"]


@check("cast access-list")
def _():
    words = ["--json", "--from", alice, coin, "transfer(address,uint256)", bob, "1"]
    assert len(json.loads(cast("access-list", *words))["accessList"][0]["storageKeys"]) == 2


@check("cast estimate")
def _():
    gas = int(cast("estimate", "--from", alice, coin, "transfer(address,uint256)", bob, "1"))
    assert 21_000 < gas < 100_000


for name, kind, options in [
    ("--legacy", "0x0", ["--legacy"]),
    ("--access-list", "0x1", ["--legacy", "--access-list"]),
    ("--access-list (EIP-1559)", "0x2", ["--access-list"]),
]:

    @check(f"cast send {name}")
    def _(kind=kind, options=options):
        sent = send(coin, "transfer(address,uint256)", bob, "1", *options)
        tx = json.loads(cast("tx", "--json", sent["transactionHash"]))
        assert tx["type"] == kind, tx["type"]
        assert bool(tx.get("accessList")) == ("--access-list" in options)


@check("cast send --sync")
def _():
    send("--sync", coin, "transfer(address,uint256)", bob, "1")


@check("cast send --auth: EIP-7702")
def _():
    purse = create("Purse")
    authorization = cast("wallet", "sign-auth", purse, "--private-key", key("bob"))
    send("--auth", authorization, alice)
    assert cast("code", bob).lower() == f"0xef0100{purse[2:].lower()}"
    pay = cast("calldata", "transfer(address,uint256)", alice, "3")
    calls = f"[({coin},{pay}),({coin},{pay})]"
    assert len(send(bob, "run((address,bytes)[])", calls, sender="bob")["logs"]) == 2


@check("cast publish of a cast mktx")
def _():
    raw = cast("mktx", "--private-key", key("alice"), coin, "transfer(address,uint256)", bob, "1")
    published = json.loads(cast("publish", raw))
    assert published["status"] == "0x1"


@check("cast run: a transaction traced again, locally")
def _():
    # cast traces by Ethereum's rules: the sender must be able to pay what the transaction declares, and cast declares
    # 1 wei a gas unless it is told otherwise.
    again = send(coin, "transfer(address,uint256)", bob, "1", *(["--legacy", "--gas-price", "0"] if FREE else []))
    trace = run("cast", "run", "--quick", again["transactionHash"])
    assert "Transaction successfully executed" in trace and "emit" in trace, trace


@check("cast call --trace")
def _():
    assert "balanceOf" in cast("call", "--trace", coin, "balanceOf(address)(uint256)", bob)


@check("cast rpc debug_traceTransaction")
def _():
    trace = json.loads(cast("rpc", "debug_traceTransaction", transfer["transactionHash"], '{"tracer":"callTracer"}'))
    assert (trace["type"], trace["to"]) == ("CALL", coin.lower())


@check("custom error and revert reason are told")
def _():
    said = cast("call", "--from", alice, coin, "transfer(address,uint256)", bob, "5000000", fails=True)
    assert "0xe450d38c" in said or "ERC20InsufficientBalance" in said, said
    said = cast("send", "--private-key", key("alice"), stall, "refuseWithReason(string)", "not today", fails=True)
    assert "not today" in said, said


@check("nonce too low, insufficient funds, unknown method are told")
def _():
    plain = ["--gas-limit", "21000", "--nonce", "0", bob]
    assert "nonce too low" in cast("send", "--private-key", key("alice"), *plain, fails=True).lower()
    said = cast("send", "--private-key", key("nobody"), "--value", "1", *plain, fails=True).lower()
    assert "insufficient funds" in said, said
    assert "-32601" in cast("rpc", "eth_noSuchMethod", fails=True)


finish()
