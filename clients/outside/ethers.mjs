// ethers: its requests are JSON-RPC batches by default, its events are filters, its errors carry codes.
import {
  Contract,
  ContractFactory,
  JsonRpcProvider,
  NonceManager,
  Signature,
  Wallet,
  WebSocketProvider,
  getAddress,
  isError,
  parseEther,
  zeroPadValue,
} from 'ethers'
import { artifact, assert, check, finish, free, funderKey, http, key, must, until, ws } from './checks.mjs'

const [Coin, Deed, Wares, Stall, Purse] = ['Coin', 'Deed', 'Wares', 'Stall', 'Purse'].map(artifact)
const node = new JsonRpcProvider(http, undefined, { pollingInterval: 25, cacheTimeout: -1 })
const alice = new Wallet(key('alice'), node)
const bob = new Wallet(key('bob'), node)
const nobody = new Wallet(key('nobody'), node)

const mined = async (response) => {
  const receipt = await response.wait(1, 10_000)
  assert.equal(receipt.status, 1)
  if (free) assert.equal(receipt.gasPrice, 0n)
  return receipt
}
const deploy = async ({ abi, bytecode }, ...args) => {
  const contract = await new ContractFactory(abi, bytecode, alice).deploy(...args)
  await mined(contract.deploymentTransaction())
  assert.notEqual(await contract.getDeployedCode(), null)
  return contract
}
const failure = async (promise, code) => {
  const error = await promise.then(
    () => assert.fail('it was accepted'),
    (e) => e,
  )
  assert.ok(isError(error, code), `not recognised as ${code}: ${error.code} ${error.message}`)
  return error
}

await must(free ? 'the account has no balance' : 'fund an account', async () => {
  if (!free) {
    const funder = new NonceManager(new Wallet(funderKey, node))
    for (const { address } of [alice, bob])
      await mined(await funder.sendTransaction({ to: address, value: parseEther('1') }))
  }
  assert.equal(await node.getBalance(alice), free ? 0n : parseEther('1'))
})

const coin = await must('deploy ERC-20', () => deploy(Coin, 'Outside', 'OUT', 1_000_000n))
const deed = await check('deploy ERC-721', () => deploy(Deed))
const wares = await check('deploy ERC-1155', () => deploy(Wares))
const stall = await check('deploy a contract that reverts', () => deploy(Stall))

const transfer = await must('transfer ERC-20', async () => {
  const receipt = await mined(await coin.transfer(bob, 400n))
  assert.equal(await coin.balanceOf(alice), 999_600n)
  assert.equal(await coin.balanceOf(bob), 400n)
  return receipt
})

await check('transfer ERC-721', async () => {
  await mined(await deed.claim(7n))
  await mined(await deed['safeTransferFrom(address,address,uint256)'](alice, bob, 7n))
  assert.equal(await deed.ownerOf(7n), bob.address)
})

await check('transfer ERC-1155', async () => {
  await mined(await wares.stock([1n], [10n]))
  await mined(await wares.safeTransferFrom(alice, bob, 1n, 3n, '0x'))
  assert.equal(await wares.balanceOf(bob, 1n), 3n)
})

if (free) await check('nothing was charged', async () => assert.equal(await node.getBalance(alice), 0n))

await check('approve and transferFrom by a second account', async () => {
  await mined(await coin.approve(bob, 50n))
  await mined(await coin.connect(bob).transferFrom(alice, bob, 20n))
  assert.equal(await coin.allowance(alice, bob), 30n)
})

await check('EIP-2612 permit, signed as EIP-712 typed data', async () => {
  const { chainId } = await node.getNetwork()
  const domain = { name: 'Outside', version: '1', chainId, verifyingContract: await coin.getAddress() }
  const types = {
    Permit: [
      { name: 'owner', type: 'address' },
      { name: 'spender', type: 'address' },
      { name: 'value', type: 'uint256' },
      { name: 'nonce', type: 'uint256' },
      { name: 'deadline', type: 'uint256' },
    ],
  }
  const permit = { owner: alice.address, spender: bob.address, value: 77n, nonce: 0n, deadline: 2n ** 64n }
  const { v, r, s } = Signature.from(await alice.signTypedData(domain, types, permit))
  await mined(await coin.connect(bob).permit(alice, bob, 77n, permit.deadline, v, r, s))
  assert.equal(await coin.allowance(alice, bob), 77n)
})

await check('read events', async () => {
  const events = await coin.queryFilter(coin.filters.Transfer(alice, bob), transfer.blockNumber, transfer.blockNumber)
  assert.deepEqual(
    events.map((e) => [e.args.value, e.transactionHash]),
    [[400n, transfer.hash]],
  )
  const topics = [coin.interface.getEvent('Transfer').topicHash, null, zeroPadValue(bob.address, 32)]
  const logs = await node.getLogs({ topics, fromBlock: transfer.blockNumber })
  assert.deepEqual(
    logs.map((l) => getAddress(l.address)),
    [coin.target, deed.target, coin.target],
  )
})

await check('contract events over HTTP filters', async () => {
  const seen = []
  await coin.on('Transfer', (from, to, value, event) => seen.push([event.log.transactionHash, value]))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const { hash } = await mined(await coin.transfer(bob, 2n))
  await until('the event', () => seen.some(([h, value]) => h === hash && value === 2n))
  await coin.removeAllListeners()
})

await check('subscribe to blocks and logs', async () => {
  const socket = new WebSocketProvider(ws)
  const blocks = [],
    values = []
  await socket.on('block', (number) => blocks.push(number))
  const watched = new Contract(coin.target, Coin.abi, socket)
  await watched.on('Transfer', (from, to, value) => values.push(value))
  await new Promise((resolve) => setTimeout(resolve, 200))
  const { blockNumber } = await mined(await coin.transfer(bob, 3n))
  await until('the block', () => blocks.includes(blockNumber))
  await until('the log', () => values.includes(3n))
  await socket.destroy()
})

await check('transact over WebSocket', async () => {
  const socket = new WebSocketProvider(ws)
  const receipt = await mined(await coin.connect(alice.connect(socket)).transfer(bob, 1n))
  assert.equal(receipt.logs.length, 1)
  await socket.destroy()
})

await check('a hundred requests in batches', async () => {
  let batches = 0
  const count = (event) => {
    if (event.action === 'sendRpcPayload') batches += 1
  }
  await node.on('debug', count)
  const balances = await Promise.all(Array.from({ length: 100 }, () => coin.balanceOf(alice)))
  await node.off('debug', count)
  assert.equal(new Set(balances).size, 1)
  assert.ok(batches <= 2, `${batches} posts`)
})

for (const [type, name, fields] of [
  [0, 'legacy', { gasPrice: free ? 0n : 10n ** 10n }],
  [
    1,
    'EIP-2930',
    { gasPrice: free ? 0n : 10n ** 10n, accessList: [{ address: coin.target, storageKeys: [`0x${'00'.repeat(32)}`] }] },
  ],
  [2, 'EIP-1559', {}],
]) {
  await check(`transaction type ${name}`, async () => {
    const { hash } = await mined(await coin.transfer(bob, 1n, { type, ...fields }))
    const tx = await node.getTransaction(hash)
    assert.deepEqual([tx.type, tx.from, tx.to], [type, alice.address, coin.target])
    assert.equal(tx.accessList?.length ?? 0, type === 1 ? 1 : 0)
  })
}

await check('transaction type EIP-7702', async () => {
  const purse = await deploy(Purse)
  const authorization = await bob.authorize({
    address: purse.target,
    nonce: await bob.getNonce(),
    chainId: (await node.getNetwork()).chainId,
  })
  await mined(
    await alice.sendTransaction({ type: 4, to: alice, authorizationList: [authorization], gasLimit: 200_000n }),
  )
  assert.equal(await node.getCode(bob), `0xef0100${purse.target.slice(2).toLowerCase()}`)
  const pay = coin.interface.encodeFunctionData('transfer', [alice.address, 5n])
  const asPurse = new Contract(bob.address, Purse.abi, bob)
  const { logs } = await mined(
    await asPurse.run([
      [coin.target, pay],
      [coin.target, pay],
    ]),
  )
  assert.equal(logs.length, 2)
})

await check('trace over send()', async () => {
  const call = await node.send('debug_traceTransaction', [transfer.hash, { tracer: 'callTracer' }])
  assert.deepEqual([call.type, getAddress(call.from), getAddress(call.to)], ['CALL', alice.address, coin.target])
})

await check('custom error is decoded', async () => {
  const { revert } = await failure(coin.transfer.staticCall(bob, 5_000_000n), 'CALL_EXCEPTION')
  assert.deepEqual([revert.name, revert.args.needed], ['ERC20InsufficientBalance', 5_000_000n])
  const { data } = await failure(coin.transfer(bob, 5_000_000n), 'CALL_EXCEPTION') // here by eth_estimateGas
  assert.equal(coin.interface.parseError(data).name, 'ERC20InsufficientBalance')
})

await check('revert reason is decoded', async () =>
  assert.equal((await failure(stall.refuseWithReason('not today'), 'CALL_EXCEPTION')).reason, 'not today'),
)

await check('panic is decoded', async () =>
  assert.match((await failure(stall.divide(1n, 0n), 'CALL_EXCEPTION')).reason, /DIVIDE_BY_ZERO/),
)

await check('a mined revert is CALL_EXCEPTION with its receipt', async () => {
  const response = await stall.refuseWithReason.send('no', { gasLimit: 100_000n })
  assert.equal((await failure(response.wait(1, 10_000), 'CALL_EXCEPTION')).receipt.status, 0)
})

const plain = { to: bob.address, gasLimit: 21_000n, ...(free ? { gasPrice: 0n } : {}) }
await check('nonce too low is NONCE_EXPIRED', () =>
  failure(alice.sendTransaction({ ...plain, nonce: 0 }), 'NONCE_EXPIRED'),
)
await check('too little balance is INSUFFICIENT_FUNDS', () =>
  failure(nobody.sendTransaction({ ...plain, value: 1n }), 'INSUFFICIENT_FUNDS'),
)
await check('an unknown method is UNSUPPORTED_OPERATION', () =>
  failure(node.send('eth_noSuchMethod', []), 'UNSUPPORTED_OPERATION'),
)

await check('finalized block and its transactions', async () => {
  const block = await until(
    'finality',
    async () => {
      const finalized = await node.getBlock('finalized', true)
      return finalized?.number >= transfer.blockNumber && node.getBlock(transfer.blockNumber, true)
    },
    3_000,
  )
  assert.ok(block.prefetchedTransactions.some((tx) => tx.hash === transfer.hash))
})

finish()
