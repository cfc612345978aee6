"""A thousand malformed requests and transactions. Each has to get a JSON-RPC error with a code and a message (or,
where it is not HTTP or not WebSocket, a 4xx or a closed connection), and right after each a good request an answer."""

import json
import os
import random
import time

from checks import HTTP, WS, check, finish
from wire import BINARY, CLOSE, PATIENCE_S, TEXT, Http, WebSocket

chance = random.Random(os.environ["RUN_SEED"])
bad, good = Http(HTTP), Http(HTTP)
GOOD = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}).encode()
ADDRESS, HASH = "0x" + "11" * 20, "0x" + "22" * 32
slowest = 0.0


def request(method, params, **more):
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params, **more}).encode()


def still_answers():
    global slowest
    start = time.monotonic()
    status, body = good.post(GOOD)
    assert status == 200 and "result" in json.loads(body), f"a good request got {status} {body[:200]}"
    slowest = max(slowest, time.monotonic() - start)
    assert slowest < 2, f"a good request took {slowest:.1f} s"


def is_error(answer, codes=None):
    error = answer.get("error") if isinstance(answer, dict) else None
    if not error or "result" in answer or not isinstance(error.get("code"), int) or not error.get("message"):
        return False
    return codes is None or error["code"] in codes


def refuses(name, cases, codes=None, plain=False):
    """One check of many bodies: each is refused with a JSON-RPC error (of one of the codes); or, when what came
    is no JSON-RPC at all, with a plain 4xx."""

    @check(f"{len(cases)} {name}")
    def _():
        wrong = []
        for body in cases:
            status, answer = bad.post(body)
            if not is_error(parse(answer), codes) and not (plain and is_4xx(status)):
                wrong.append(f"{body[:120]!r} got {status} {answer[:160]!r}")
            still_answers()
        assert not wrong, f"{len(wrong)} of {len(cases)}, such as {' ; '.join(wrong[:3])}"


def is_4xx(status):
    return status is not None and 400 <= status < 500


def parse(body):
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


# Bodies that are no JSON, or no request.

whole = request("eth_getBalance", [ADDRESS, "latest"])
not_json = [whole[:n] for n in range(1, len(whole))]
not_json += [bytes(chance.randrange(128, 256) for _ in range(chance.randrange(1, 64))) for _ in range(60)]
not_json += [
    b"",
    b"\0",
    b"\xff\xfe",
    b"{",
    b"[",
    b'"',
    b"{]",
    b"[1,]",
    b"{'a':1}",
    b"nul",
    b"+1",
    b"0x1",
    b"1 2",
    b"\xef\xbb\xbf{",
]
not_json += [
    whole + b"}",
    whole.replace(b'"id"', b"id"),
    whole.replace(b"latest", b"la\ntest"),
    whole.replace(b"latest", b"\\ud800\\u"),
]
not_json += [
    whole.replace(b": 7", number) for number in (b": 1e", b": 01", b": --1", b": .5", b": 0x7", b": NaN", b": Infinity")
]
not_json += [opening * depth for opening in (b"[", b'{"a":', b'[{"a":') for depth in (200, 10_000, 200_000)]
refuses("bodies that are not JSON", not_json, {-32700, -32600}, plain=True)

no_request = [b"1", b"null", b"true", b'"eth_chainId"', b"[]", b"{}", b'{"id":1}', b'{"jsonrpc":"2.0","id":1}']
no_request += [request(method, []) for method in (5, None, [], {}, True, ["eth_chainId"])]
no_request += [request("eth_getBalance", params) for params in (5, "x", True, "[]")]
no_request += [request("eth_chainId", [], id=strange) for strange in ({}, [], [1], True)]
no_request += [request("eth_chainId", [], jsonrpc=version) for version in ("3.0", 2.1, [])]
no_request += [
    b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":' + b"[" * n + b"]" * n + b"}"
    for n in (500, 5_000, 50_000)
]
no_request += [
    b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[' + b'{"a":' * n + b"1" + b"}" * n + b"]}"
    for n in (500, 5_000, 50_000)
]
refuses("bodies that are JSON but no request", no_request, {-32700, -32600, -32601, -32602})

names = [
    "",
    " ",
    "eth_",
    "eth",
    "_",
    "eth_chainID",
    "ETH_chainId",
    "eth_chainId ",
    "rpc.discover",
    "__proto__",
    "constructor",
    "\0",
]
names += ["eth_" + "x" * n for n in (100, 1_000, 100_000)] + [
    "é" * 50,
    "💥",
    "../../etc/passwd",
    "eth_call;drop",
    "%s%n",
    "${jndi:x}",
]
names += [
    f"{space}_{chance.randbytes(6).hex()}"
    for space in ("eth", "net", "web3", "debug", "txpool", "admin", "lonja")
    for _ in range(5)
]
refuses("methods that do not exist", [request(name, []) for name in names], {-32601, -32600})

# Every method's parameters, each in turn replaced by what cannot be one.

WRONG = {
    "address": ["", "0x", "0x12", ADDRESS + "11", "0x" + "zz" * 20, 5, [], {}, True],
    "hash": ["", "0x", "0x12", HASH + "22", "0x" + "zz" * 32, 5, [], {}, True],
    "block": [
        "yesterday",
        "",
        "0xzz",
        "-0x1",
        "0x1" + "0" * 16,
        "0x" + "f" * 5000,
        [],
        {"blockHash": "0x12"},
        {"blockNumber": []},
        1.5,
    ],
    "count": ["", "0xzz", "-0x1", "-1", "0x1" + "0" * 64, "0x" + "f" * 5000, [], {}, 1.5],
    "bytes": ["0xzz", "0x1", "zz", 5, [], {}, True],
    "call": [
        5,
        "x",
        ["x"],
        {"to": "0x12"},
        {"to": 5},
        {"gas": "0xzz"},
        {"value": "0x1" + "0" * 64},
        {"input": "0xz"},
        {"data": 5},
    ],
    "filter": [
        5,
        "x",
        {"address": "0x12"},
        {"fromBlock": "soon"},
        {"toBlock": []},
        {"topics": "x"},
        {"topics": [[["x"]]]},
        {"blockHash": "0x1"},
    ],
    "id": [5, [], {}, True],
    "simulation": [5, "x", {"blockStateCalls": 5}, {"blockStateCalls": [5]}, {"blockStateCalls": [{"calls": 5}]}],
    "slots": [5, "x", {}, ["0x" + "zz" * 32], [{}]],
    "percentiles": [5, "x", {}, ["x"], [{}], [101], [-1], [50, 10]],
    "tracer": [5, "x", {"tracer": "noSuchTracer"}, {"tracer": 5}],
}
CALL, BLOCK = {"to": ADDRESS}, "latest"
METHODS = [
    ("eth_getBalance", [("address", ADDRESS), ("block", BLOCK)]),
    ("eth_getCode", [("address", ADDRESS), ("block", BLOCK)]),
    ("eth_getTransactionCount", [("address", ADDRESS), ("block", BLOCK)]),
    ("eth_getStorageAt", [("address", ADDRESS), ("count", "0x0"), ("block", BLOCK)]),
    ("eth_getProof", [("address", ADDRESS), ("slots", []), ("block", BLOCK)]),
    ("eth_getBlockByNumber", [("block", BLOCK), (None, False)]),
    ("eth_getBlockByHash", [("hash", HASH), (None, False)]),
    ("eth_getBlockReceipts", [("block", BLOCK)]),
    ("eth_getBlockTransactionCountByNumber", [("block", BLOCK)]),
    ("eth_getBlockTransactionCountByHash", [("hash", HASH)]),
    ("eth_getTransactionByHash", [("hash", HASH)]),
    ("eth_getTransactionReceipt", [("hash", HASH)]),
    ("eth_getTransactionByBlockNumberAndIndex", [("block", BLOCK), ("count", "0x0")]),
    ("eth_getTransactionByBlockHashAndIndex", [("hash", HASH), ("count", "0x0")]),
    ("eth_call", [("call", CALL), ("block", BLOCK)]),
    ("eth_estimateGas", [("call", CALL), ("block", BLOCK)]),
    ("eth_createAccessList", [("call", CALL), ("block", BLOCK)]),
    ("eth_fillTransaction", [("call", CALL)]),
    ("eth_simulateV1", [("simulation", {"blockStateCalls": [{}]}), ("block", BLOCK)]),
    ("eth_feeHistory", [("count", "0x1"), ("block", BLOCK), ("percentiles", [])]),
    ("eth_getLogs", [("filter", {})]),
    ("eth_newFilter", [("filter", {})]),
    ("eth_getFilterChanges", [("id", "0x1")]),
    ("eth_getFilterLogs", [("id", "0x1")]),
    ("eth_uninstallFilter", [("id", "0x1")]),
    ("eth_sendRawTransaction", [("bytes", "0x")]),
    ("eth_sendRawTransactionSync", [("bytes", "0x")]),
    ("debug_traceTransaction", [("hash", HASH), ("tracer", {})]),
    ("debug_traceCall", [("call", CALL), ("block", BLOCK), ("tracer", {})]),
    ("debug_traceBlockByNumber", [("block", BLOCK), ("tracer", {})]),
]
wrong_params = []
for method, params in METHODS:
    values = [value for _, value in params]
    wrong_params.append(request(method, []))
    wrong_params += [
        request(method, [*values[:i], wrong, *values[i + 1 :]])
        for i, (kind, _) in enumerate(params)
        for wrong in WRONG.get(kind, [])
    ]
refuses("requests with a parameter of the wrong form", wrong_params)

# Transactions. The value is more than anyone has, so whatever a flipped bit makes of the sender, none can be valid.

chain_id = int(json.loads(good.post(request("eth_chainId", []))[1])["result"], 16)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ALL = 2**256 - 1


def rlp(item):
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else prefix(0x80, len(item)) + item
    body = b"".join(map(rlp, item))
    return prefix(0xC0, len(body)) + body


def prefix(offset, size):
    if size < 56:
        return bytes([offset + size])
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(length)]) + length


def transaction(kind=2, chain=chain_id, nonce=0, gas=100_000, value=ALL, data=b"", y=0, r=12345, s=67890):
    to, price = bytes(19) + b"\x99", 10**10
    if kind == 0:
        return rlp([nonce, price, gas, to, value, data, chain * 2 + 35 + y, r, s])
    fees = [price] if kind == 1 else [price, price]
    more = [[[chain, to, 0, 0, 1, 1]]] if kind == 4 else []
    return bytes([kind]) + rlp([chain, nonce, *fees, gas, to, value, data, [], *more, y, r, s])


raw = [transaction(kind) for kind in (0, 1, 2, 4)]
broken = []
for tx in raw:
    broken += [tx, tx + b"\0", tx[:1], tx[1:], tx * 2] + [tx[: chance.randrange(1, len(tx))] for _ in range(20)]
    for bit in chance.sample(range(8 * len(tx)), 60):
        flipped = bytearray(tx)
        flipped[bit // 8] ^= 1 << bit % 8
        broken.append(bytes(flipped))
for kind in (0, 1, 2, 4):
    broken += [transaction(kind, chain=other) for other in (0, 1, chain_id + 1, 2**63, 2**64, 2**256 - 40)]
    broken += [
        transaction(kind, r=r, s=s)
        for r, s in [(0, 1), (1, 0), (0, 0), (ORDER, 1), (1, ORDER), (ALL, ALL), (1, ORDER - 1)]
    ]
    broken += [
        transaction(kind, y=7),
        transaction(kind, r=2**264, s=1),
        transaction(kind, nonce=2**64),
        transaction(kind, nonce=2**64 - 1),
    ]
    broken += [transaction(kind, gas=gas) for gas in (0, 20_999, 2**63, 2**64, 2**255)] + [
        transaction(kind, value=2**256)
    ]
broken += [bytes([kind]) + raw[2][1:] for kind in (3, 5, 0x7E, 0x7F, 0x80, 0xB8, 0xC0, 0xFF)]
broken += [
    b"",
    b"\0",
    b"\xc0",
    b"\x02",
    b"\x02\xc0",
    b"\x02\xf8",
    b"\xc0" * 1000,
    b"\xf8\xff",
    b"\xbf" + b"\xff" * 8,
    b"\xff" * 9,
]
broken += [
    b"\x02" + rlp([rlp([])] * 12),
    b"\xf9\xff\xff" * 20_000,
    transaction(data=bytes(200_000)),
    transaction(data=bytes(2_000_000)),
]
broken += [chance.randbytes(chance.randrange(1, 300)) for _ in range(60)]
refuses("raw transactions", [request("eth_sendRawTransaction", ["0x" + tx.hex()]) for tx in broken])
refuses(
    "raw transactions, synchronously", [request("eth_sendRawTransactionSync", ["0x" + tx.hex()]) for tx in broken[:40]]
)

# Batches and bodies too large.


@check("batches of what is no request: an error for each")
def _():
    for items in ([1], [1, "x", None], [[]], [{}] * 10, [{"jsonrpc": "2.0", "id": 1, "method": 5}]):
        status, body = bad.post(json.dumps(items).encode())
        answer = parse(body)
        each = isinstance(answer, list) and len(answer) == len(items) and all(is_error(one) for one in answer)
        assert each or is_error(answer) or is_4xx(status), f"{items} got {status} {body[:200]!r}"
        still_answers()


@check("a batch of 100,000 requests: refused, or answered to the last")
def _():
    one = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    status, body = bad.post(json.dumps([one] * 100_000).encode())
    answer = parse(body)
    assert is_error(answer) or is_4xx(status) or (isinstance(answer, list) and len(answer) == 100_000), body[:200]
    still_answers()


@check("a body of 128 MiB is refused")
def _():
    for body in (
        b"[" + b" " * (128 << 20),
        request("eth_call", [{"to": ADDRESS, "data": "0x" + "00" * (64 << 20)}, "latest"]),
    ):
        status, answer = bad.post(body)
        bad.close()
        assert is_4xx(status) or is_error(parse(answer)), f"{status} {answer[:200]!r}"
        still_answers()


# What is not HTTP.

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
not_http = [
    b"\r\n\r\n\r\n\r\nhello\r\n\r\n",
    b"\0" * 64 + b"\r\n\r\n",
    b"POST\r\n\r\n",
    b"BREW / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
]
not_http += [
    b"POST / HTTP/9.9\r\nhost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n",
]
not_http += [
    HEAD + b"content-length: minus\r\n\r\n",
    HEAD + b"content-length: -1\r\n\r\n",
    HEAD + b"content-length: 1" + b"0" * 30 + b"\r\n\r\n",
]
not_http += [
    HEAD + b"bad header\r\n\r\n",
    HEAD + b"x: " + b"y" * 2_000_000 + b"\r\n\r\n",
    HEAD + b"x: y\r\n" * 2_000 + b"\r\n",
]
not_http += [
    HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
]


@check(f"{len(not_http)} streams that are not HTTP: a 4xx or a closed connection")
def _():
    for stream in not_http:
        bad.close()
        status, body = bad.raw(stream)
        assert status is None or is_4xx(status) or is_error(parse(body)), f"{stream[:80]!r} got {status} {body[:200]!r}"
        still_answers()
    bad.close()


# WebSocket: what is refused over HTTP, and what is not WebSocket.

some = [body for cases in (not_json, no_request, wrong_params) for body in chance.sample(cases, min(50, len(cases)))]
some = [body for body in some if body.isascii() and 0 < len(body) < 100_000]


def expects_an_answer(body):
    """A message without a usable id is a notification to some servers, which they leave without an answer."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return True
    return not isinstance(message, dict) or type(message.get("id")) in (int, str)


some = [body for body in some if expects_an_answer(body)]
some += [
    request("eth_subscribe", params)
    for params in ([], ["noSuchKind"], [5], ["logs", 5], ["logs", {"address": "0x1"}], [{}])
]


@check(f"{len(some)} malformed messages over one WebSocket")
def _():
    connection, wrong = WebSocket(WS), []
    for body in some:
        answer = connection.ask(body)
        if not is_error(answer):
            wrong.append(f"{body[:120]!r} got {str(answer)[:160]}")
            if answer is None:
                connection = WebSocket(WS)
        still_answers()
    assert not wrong, f"{len(wrong)} of {len(some)}, such as {' ; '.join(wrong[:3])}"
    assert "result" in connection.ask(GOOD)
    connection.close()


@check("frames that are not WebSocket: an error, or the end of their own connection only")
def _():
    other = WebSocket(WS)
    for frame in (
        {"kind": 3, "payload": b"reserved"},
        {"kind": TEXT, "payload": b"\xff\xfe\xfd"},
        {"kind": TEXT, "payload": GOOD, "masked": False},
        {"kind": TEXT, "payload": b"", "claims": 2**62},
        {"kind": BINARY, "payload": b"", "claims": 2**63},
        {"kind": TEXT, "payload": b" " * (128 << 20)},
        {"kind": 9, "payload": b"a ping of more than 125 bytes" * 10},
        {"kind": 0, "payload": b"a continuation of nothing"},
    ):
        connection = WebSocket(WS)
        connection.frame(**frame)
        kind, payload = connection.receive()
        while kind not in (CLOSE, TEXT, BINARY):
            kind, payload = connection.receive()
        assert kind == CLOSE or parse(payload), f"neither closed nor answered: {str(frame)[:80]}"
        connection.close()
        assert "result" in other.ask(GOOD)
        still_answers()
    other.close()


@check("a subscription nobody reads does not hold anyone up")
def _():
    deaf = [WebSocket(WS) for _ in range(20)]
    for connection in deaf:
        for kind in ("newHeads", "newPendingTransactions"):
            connection.frame(TEXT, request("eth_subscribe", [kind]))
        for _ in range(200):
            connection.frame(TEXT, request("eth_getBlockByNumber", ["latest", True]))
    still_answers()
    for connection in deaf:
        connection.close()
    still_answers()


@check(f"the slowest good request in between took {1000 * slowest:.0f} ms")
def _():
    still_answers()


finish()
