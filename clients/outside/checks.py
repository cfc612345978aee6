"""What the Python clients share: where the node is, whose keys to use, and how a check is reported:
one line of tab-separated outcome, milliseconds, name and, when it failed, why."""

import hashlib
import json
import os
import pathlib
import sys
import time

HTTP = os.environ["RPC_HTTP"]
WS = os.environ["RPC_WS"]
FREE = os.environ["FEE_MODE"] == "free"
FUNDER_KEY = os.environ["FUNDER_KEY"]  # rich in eip1559 mode; never used in free mode


def key(name):
    """A key that only this run and this client know: rerunning on the same chain meets no old nonce."""
    return "0x" + hashlib.sha256(f"{os.environ['RUN_SEED']}/{name}".encode()).hexdigest()


def artifact(contract):
    return json.loads(pathlib.Path(os.environ["ARTIFACTS"], f"{contract}.json").read_text())


def check(name, needed=False):
    """Decorator: runs the function at once as one check and leaves its result in its place (None if it
    failed). When a `needed` check fails, nothing after it makes sense and the script ends."""

    def run(body):
        start = time.monotonic()

        def report(outcome, *more):
            print(outcome, round(1000 * (time.monotonic() - start)), name, *more, sep="\t", flush=True)

        try:
            result = body()
        except Exception as error:
            report("failed", " ".join(f"{type(error).__name__}: {error}".split())[:400])
            if needed:
                sys.exit(1)
            return None
        report("ok")
        return result

    return run


def finish():
    """The runner takes a script that ends without this line for one that was cut short."""
    print("end", flush=True)
