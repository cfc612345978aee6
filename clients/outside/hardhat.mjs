// Hardhat 3 with Ignition: build, deploy by the command line, resume, and then from a script.
import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { JsonRpcProvider, Wallet, parseEther } from 'ethers'
import { assert, check, finish, free, funderKey, http, key, must } from './checks.mjs'

const here = import.meta.dirname
process.chdir(here)
Object.assign(process.env, {
  HARDHAT_CONFIG: 'hardhat/hardhat.config.js',
  HARDHAT_DISABLE_TELEMETRY: 'true',
  HARDHAT_IGNITION_CONFIRM_DEPLOYMENT: 'false', // nobody is there to be asked
  NO_COLOR: '1',
})
const [alice, bob] = ['alice', 'bob'].map((name) => new Wallet(key(name)).address)
const deployment = `outside-${key('deployment').slice(2, 14)}`
const records = join(here, 'hardhat/ignition/deployments')
process.on('exit', () => {
  for (const name of [deployment, `${deployment}-script`]) rmSync(join(records, name), { recursive: true, force: true })
})

const hardhat = async (...words) => {
  const cli = [join(here, 'node_modules/hardhat/dist/src/cli.js'), ...words]
  const { stdout } = await promisify(execFile)(process.execPath, cli)
  return stdout
}
const deploy = () =>
  hardhat(
    'ignition',
    'deploy',
    'hardhat/ignition/modules/Market.js',
    '--network',
    'outside',
    '--deployment-id',
    deployment,
  )

await must(free ? 'the accounts have no balance' : 'fund the accounts', async () => {
  const node = new JsonRpcProvider(http, undefined, { cacheTimeout: -1 })
  if (!free) {
    const funder = new Wallet(funderKey, node)
    for (const to of [alice, bob]) await (await funder.sendTransaction({ to, value: parseEther('1') })).wait()
  }
  assert.equal(await node.getBalance(alice), free ? 0n : parseEther('1'))
})

await must('hardhat build', () => hardhat('build', '--quiet'))

const addresses = await must('hardhat ignition deploy: three tokens and their transfers', async () => {
  assert.match(await deploy(), /successfully deployed/)
  return JSON.parse(readFileSync(join(records, deployment, 'deployed_addresses.json')))
})

await check('hardhat ignition deploy again finds nothing to do', async () => {
  assert.match(await deploy(), /Nothing new to deploy/i)
})

const { default: hre } = await import('hardhat')
const { ethers, ignition, provider } = await hre.network.create('outside')
const [seller, buyer] = await ethers.getSigners()

const coin = await must('the deployed tokens are there', async () => {
  assert.deepEqual([seller.address, buyer.address], [alice, bob])
  const at = (name) => ethers.getContractAt(name, addresses[`Market#${name}`])
  const [coin, deed, wares] = await Promise.all(['Coin', 'Deed', 'Wares'].map(at))
  assert.equal(await coin.balanceOf(buyer), 250n)
  assert.equal(await deed.ownerOf(1n), buyer.address)
  assert.equal(await wares.balanceOf(buyer, 1n), 3n)
  return coin
})

await check('transfer and read events', async () => {
  const { blockNumber } = await (await coin.transfer(buyer, 5n)).wait()
  const events = await coin.queryFilter(coin.filters.Transfer(seller, buyer), blockNumber)
  assert.deepEqual(
    events.map((e) => e.args.value),
    [5n],
  )
})

await check('deploy from a script, with ethers and with Ignition', async () => {
  const stall = await ethers.deployContract('Stall')
  await stall.waitForDeployment() // else the gas of the next call is estimated against an account without code
  await (await stall.keep(42n)).wait()
  assert.equal(await stall.number(), 42n)

  const { buildModule } = await import('@nomicfoundation/hardhat-ignition/modules')
  const purses = buildModule('Purses', (m) => ({ purse: m.contract('Purse') }))
  const { purse } = await ignition.deploy(purses, { deploymentId: `${deployment}-script` })
  assert.ok((await purse.getDeployedCode()).length > 2)
})

await check('a revert is told with its custom error', async () => {
  const error = await coin.transfer(buyer, 5_000_000n).then(
    () => assert.fail('it was accepted'),
    (e) => e,
  )
  const said = []
  for (let at = error; at; at = at.cause) said.push(at.message, JSON.stringify(at.data ?? at.error ?? ''))
  assert.match(said.join('\n'), /ERC20InsufficientBalance|e450d38c/)
})

await check('any method over the provider', async () => {
  const [block, history] = await Promise.all([
    provider.request({ method: 'eth_getBlockByNumber', params: ['finalized', false] }),
    provider.request({ method: 'eth_feeHistory', params: ['0x1', 'latest', []] }),
  ])
  assert.ok(block.hash && history.baseFeePerGas.length === 2)
})

if (free) await check('nothing was charged', async () => assert.equal(await ethers.provider.getBalance(seller), 0n))

finish()
