// Compiles contracts/*.sol with npm's solc, once per content: prints the folder of the artifacts
// ({abi, bytecode, storageLayout} a contract), named by the hash of everything that decides them.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const require = createRequire(import.meta.url)
const here = import.meta.dirname ?? new URL('.', import.meta.url).pathname
const version = (name) => JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'))).version

const sources = Object.fromEntries(
  readdirSync(join(here, 'contracts'))
    .sort()
    .map((file) => [`contracts/${file}`, { content: readFileSync(join(here, 'contracts', file), 'utf8') }]),
)
const settings = {
  evmVersion: 'prague',
  optimizer: { enabled: true, runs: 200 },
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'storageLayout'] } },
}
const input = { language: 'Solidity', sources, settings }

const decides = [input, version('solc'), version('@openzeppelin/contracts')]
const hash = createHash('sha256').update(JSON.stringify(decides)).digest('hex').slice(0, 16)
const folder = join(here, '.cache', 'artifacts', hash)

if (!existsSync(folder)) compile()
console.log(folder)

function compile() {
  const solc = require('solc')
  const find = (path) => ({ contents: readFileSync(join(here, 'node_modules', path), 'utf8') })
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: find }))
  const errors = (output.errors ?? []).filter((e) => e.severity === 'error')
  if (errors.length) throw new Error(errors.map((e) => e.formattedMessage).join('\n'))

  const draft = `${folder}.${process.pid}`
  mkdirSync(draft, { recursive: true })
  for (const file of Object.keys(sources)) {
    for (const [name, { abi, evm, storageLayout }] of Object.entries(output.contracts[file])) {
      const artifact = { abi, bytecode: `0x${evm.bytecode.object}`, storageLayout }
      writeFileSync(join(draft, `${name}.json`), JSON.stringify(artifact))
    }
  }
  renameSync(draft, folder)
}
