#!/bin/sh
# Makes NAME.hex (creation code) from every NAME.sol here, with npm's solc 0.8.37. For Istanbul, so that older peers
# (GoQuorum) run the same code as newer ones.
set -eu
cd "$(dirname "$0")"
for source in *.sol; do
    node -e '
        const [source] = process.argv.slice(1)
        const content = require("fs").readFileSync(source, "utf8")
        const settings = {
            evmVersion: "istanbul",
            optimizer: { enabled: true, runs: 1000000 },
            metadata: { appendCBOR: false },
            outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
        }
        console.log(JSON.stringify({ language: "Solidity", sources: { [source]: { content } }, settings }))
    ' "$source" | npx --yes --package=solc@0.8.37 -- solcjs --standard-json | node -e '
        const [source] = process.argv.slice(1)
        const name = source.replace(".sol", "")
        const text = require("fs").readFileSync(0, "utf8")
        const output = JSON.parse(text.slice(text.indexOf("{")))
        for (const error of output.errors ?? []) console.error(error.formattedMessage)
        const code = output.contracts[source][name].evm.bytecode.object
        require("fs").writeFileSync(`${name}.hex`, code + "\n")
        console.log(`${name}.hex: ${code.length / 2} bytes`)
    ' "$source"
done
