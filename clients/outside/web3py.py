"""web3.py: contracts, filters, subscriptions, batches, typed errors, and a set-code transaction."""

import asyncio
import time

from eth_account import Account
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import (
    BlockNotFound,
    ContractCustomError,
    ContractLogicError,
    ContractPanicError,
    MethodUnavailable,
    TransactionNotFound,
    Web3RPCError,
)
from web3.middleware import SignAndSendRawMiddlewareBuilder

from checks import FREE, FUNDER_KEY, HTTP, WS, artifact, check, finish, key

w3 = Web3(HTTPProvider(HTTP))
alice, bob, nobody = (Account.from_key(key(name)) for name in ("alice", "bob", "nobody"))
for account in (alice, bob, nobody):
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
w3.eth.default_account = alice.address
GAS_PRICE = 0 if FREE else 10**10


def mined(transaction_hash):
    receipt = w3.eth.wait_for_transaction_receipt(transaction_hash, timeout=10, poll_latency=0.02)
    assert receipt.status == 1
    assert (receipt.effectiveGasPrice == 0) == FREE
    return receipt


def deploy(name, *args):
    built = artifact(name)
    contract = w3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
    address = mined(contract.constructor(*args).transact()).contractAddress
    assert len(w3.eth.get_code(address)) > 0
    return w3.eth.contract(address, abi=built["abi"])


def refused(kind, act):
    """The error of the type `kind` that `act` has to end with."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError("it was accepted")


def until(what, ask):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within 10 s")


@check("the account has no balance" if FREE else "fund an account", needed=True)
def _():
    assert w3.is_connected()
    if not FREE:
        funder = Account.from_key(FUNDER_KEY)
        w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(funder), layer=0)
        for to in (alice.address, bob.address):
            mined(w3.eth.send_transaction({"from": funder.address, "to": to, "value": 10**18}))
    assert w3.eth.get_balance(alice.address) == (0 if FREE else 10**18)


@check("every fee source says the same")
def _():
    history = w3.eth.fee_history(4, "latest", [50])
    sources = [w3.eth.gas_price, w3.eth.max_priority_fee, w3.eth.get_block("latest").baseFeePerGas]
    sources += history.baseFeePerGas + [fee for row in history.get("reward", []) for fee in row]
    assert all(fee == 0 for fee in sources) if FREE else sources[0] > 0, sources


@check("deploy ERC-20", needed=True)
def coin():
    return deploy("Coin", "Outside", "OUT", 1_000_000)


@check("deploy a contract that reverts")
def stall():
    return deploy("Stall")


@check("transfer ERC-20", needed=True)
def transfer():
    receipt = mined(coin.functions.transfer(bob.address, 400).transact())
    assert coin.functions.balanceOf(alice.address).call() == 999_600
    assert coin.functions.balanceOf(bob.address).call() == 400
    [event] = coin.events.Transfer().process_receipt(receipt)
    assert event.args.value == 400
    return receipt


if FREE:

    @check("nothing was charged")
    def _():
        assert w3.eth.get_balance(alice.address) == 0


@check("read events")
def _():
    events = coin.events.Transfer().get_logs(from_block=transfer.blockNumber, argument_filters={"to": bob.address})
    assert [(e.args.value, e.transactionHash) for e in events] == [(400, transfer.transactionHash)]


@check("event filter and block filter")
def _():
    events = coin.events.Transfer().create_filter(from_block="latest")
    blocks = w3.eth.filter("latest")
    receipt = mined(coin.functions.transfer(bob.address, 2).transact())
    until("the event", lambda: any(e.transactionHash == receipt.transactionHash for e in events.get_new_entries()))
    until("the block", lambda: receipt.blockHash in blocks.get_new_entries())
    assert w3.eth.uninstall_filter(events.filter_id)


@check("subscribe to newHeads and logs")
def _():
    async def listen():
        async with AsyncWeb3(WebSocketProvider(WS)) as socket:
            heads = await socket.eth.subscribe("newHeads")
            logs = await socket.eth.subscribe("logs", {"address": coin.address})
            receipt = await asyncio.to_thread(lambda: mined(coin.functions.transfer(bob.address, 3).transact()))
            wanted = {(heads, receipt.blockHash), (logs, receipt.transactionHash)}
            async for message in socket.socket.process_subscriptions():
                result = message["result"]
                wanted.discard((message["subscription"], result.get("transactionHash") or result.get("hash")))
                if not wanted:
                    break
            assert await socket.eth.unsubscribe(heads) and await socket.eth.unsubscribe(logs)

    asyncio.run(asyncio.wait_for(listen(), 15))


@check("a batch of twenty")
def _():
    with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block("latest"))
        for _ in range(19):
            batch.add(coin.functions.balanceOf(bob.address))
        block, *balances = batch.execute()
    assert block.number >= transfer.blockNumber
    assert set(balances) == {405}


def typed(kind, fields):
    receipt = mined(coin.functions.transfer(bob.address, 1).transact(fields))
    sent = w3.eth.get_transaction(receipt.transactionHash)
    assert (sent.type, sent["from"]) == (kind, alice.address)
    return sent


@check("transaction type legacy")
def _():
    typed(0, {"gasPrice": GAS_PRICE})


@check("transaction type EIP-2930")
def _():
    entry = {"address": coin.address, "storageKeys": ["0x" + "00" * 32]}
    sent = typed(1, {"type": 1, "gasPrice": GAS_PRICE, "accessList": [entry]})
    assert len(sent.accessList) == 1


@check("transaction type EIP-1559")
def _():
    typed(2, {})


@check("transaction type EIP-7702")
def _():
    purse = deploy("Purse")
    chain_id = w3.eth.chain_id
    authorization = bob.sign_authorization({"chainId": chain_id, "address": purse.address, "nonce": 0})
    fee = 0 if FREE else w3.eth.gas_price * 2
    signed = alice.sign_transaction(
        {
            "type": 4,
            "chainId": chain_id,
            "nonce": w3.eth.get_transaction_count(alice.address),
            "to": alice.address,
            "value": 0,
            "gas": 200_000,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": min(fee, 10**9),
            "authorizationList": [authorization],
        }
    )
    mined(w3.eth.send_raw_transaction(signed.raw_transaction))
    assert w3.eth.get_code(bob.address) == bytes.fromhex("ef0100") + bytes.fromhex(purse.address[2:])


@check("simulate_v1")
def _():
    call = {"from": alice.address, "to": coin.address, "data": coin.encode_abi("transfer", [bob.address, 1])}
    [block] = w3.eth.simulate_v1({"blockStateCalls": [{"calls": [call]}]}, "latest")
    assert block["calls"][0]["status"] == 1 and len(block["calls"][0]["logs"]) == 1


@check("proof of a storage slot written 0x2")
def _():
    proof = w3.eth.get_proof(coin.address, [2], "latest")
    assert int.from_bytes(proof.storageProof[0].value, "big") == 1_000_000


@check("trace over make_request")
def _():
    options = [w3.to_hex(transfer.transactionHash), {"tracer": "callTracer"}]
    call = w3.provider.make_request("debug_traceTransaction", options)["result"]
    assert call["type"] == "CALL" and int(call["gasUsed"], 16) == transfer.gasUsed


@check("custom error is ContractCustomError")
def _():
    error = refused(ContractCustomError, lambda: coin.functions.transfer(bob.address, 5_000_000).call())
    needed = w3.codec.decode(["address", "uint256", "uint256"], bytes.fromhex(error.data[10:]))
    assert needed[2] == 5_000_000


@check("revert reason is ContractLogicError")
def _():
    error = refused(ContractLogicError, lambda: stall.functions.refuseWithReason("not today").call())
    assert "not today" in str(error)


@check("panic is ContractPanicError")
def _():
    refused(ContractPanicError, lambda: stall.functions.divide(1, 0).call())


def send(account, **fields):
    plain = {"to": bob.address, "gas": 21_000, "gasPrice": GAS_PRICE, "value": 0, "nonce": 0}
    signed = account.sign_transaction({**plain, **fields, "chainId": w3.eth.chain_id})
    return w3.eth.send_raw_transaction(signed.raw_transaction)


@check("nonce too low is Web3RPCError")
def _():
    assert "nonce too low" in str(refused(Web3RPCError, lambda: send(alice))).lower()


@check("too little balance is Web3RPCError")
def _():
    assert "insufficient funds" in str(refused(Web3RPCError, lambda: send(nobody, value=1))).lower()


@check("an unknown method is MethodUnavailable")
def _():
    refused(MethodUnavailable, lambda: w3.manager.request_blocking("eth_noSuchMethod", []))


@check("what is not there is BlockNotFound or TransactionNotFound")
def _():
    refused(BlockNotFound, lambda: w3.eth.get_block(2**40))
    refused(TransactionNotFound, lambda: w3.eth.get_transaction("0x" + "ab" * 32))
    refused(TransactionNotFound, lambda: w3.eth.get_transaction_receipt("0x" + "ab" * 32))


finish()
