// Hardhat compiles the folder's contracts with npm's solc and deploys to the node under judgement.
import { createRequire } from 'node:module'
import hardhatEthers from '@nomicfoundation/hardhat-ethers'
import hardhatIgnition from '@nomicfoundation/hardhat-ignition-ethers'
import { defineConfig } from 'hardhat/config'
import { key } from '../checks.mjs'

export default defineConfig({
  plugins: [hardhatEthers, hardhatIgnition],
  paths: {
    sources: 'contracts',
    tests: 'hardhat/test',
    ignition: 'hardhat/ignition',
    cache: '.cache/hardhat/cache',
    artifacts: '.cache/hardhat/artifacts',
  },
  solidity: {
    version: '0.8.37',
    path: createRequire(import.meta.url).resolve('solc/soljson.js'),
    settings: { evmVersion: 'prague', optimizer: { enabled: true } },
  },
  networks: { outside: { type: 'http', url: process.env.RPC_HTTP, accounts: [key('alice'), key('bob')] } },
  ignition: { requiredConfirmations: 1, blockPollingInterval: 50 },
})
