// viem: contracts, every transaction type it signs, subscriptions, simulation and typed errors.
import {
  BaseError,
  ContractFunctionRevertedError,
  InsufficientFundsError,
  IntrinsicGasTooLowError,
  MethodNotFoundRpcError,
  NonceTooLowError,
  TransactionReceiptNotFoundError,
  createPublicClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  http as overHttp,
  parseEther,
  parseEventLogs,
  publicActions,
  webSocket,
  zeroAddress,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { artifact, assert, check, finish, free, funderKey, http, key, must, until, ws } from './checks.mjs'

const [Coin, Deed, Wares, Stall, Purse] = ['Coin', 'Deed', 'Wares', 'Stall', 'Purse'].map(artifact)
const alice = privateKeyToAccount(key('alice'))
const bob = privateKeyToAccount(key('bob'))
const nobody = privateKeyToAccount(key('nobody')) // never receives anything, in either mode

const id = await must('eth_chainId and net_version agree', async () => {
  const probe = createPublicClient({ transport: overHttp(http) })
  const chainId = await probe.getChainId()
  assert.equal(await probe.request({ method: 'net_version' }), String(chainId))
  return chainId
})
const chain = defineChain({
  id,
  name: 'outside',
  nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [http] } },
})
const connect = (account, transport = overHttp(http)) =>
  createWalletClient({ account, chain, transport, pollingInterval: 25 }).extend(publicActions)
const node = connect(alice)
const socket = connect(alice, webSocket(ws))

const mined = async (hash) => {
  const receipt = await node.waitForTransactionReceipt({ hash, timeout: 10_000 })
  assert.equal(receipt.status, 'success')
  if (free) assert.equal(receipt.effectiveGasPrice, 0n)
  else assert.ok(receipt.effectiveGasPrice > 0n)
  return receipt
}
const deploy = async ({ abi, bytecode }, ...args) => {
  const { contractAddress } = await mined(await node.deployContract({ abi, bytecode, args }))
  assert.ok((await node.getCode({ address: contractAddress })).length > 2)
  return { address: contractAddress, abi }
}
const write = async (contract, functionName, ...args) =>
  mined(await node.writeContract({ ...contract, functionName, args }))
const read = (contract, functionName, ...args) => node.readContract({ ...contract, functionName, args })
const failure = async (promise, type) => {
  const error = await promise.then(
    () => assert.fail('it was accepted'),
    (e) => e,
  )
  const found = error instanceof BaseError && error.walk((e) => e instanceof type)
  assert.ok(found, `not recognised as ${type.name}: ${error.shortMessage ?? error.message} ${error.details ?? ''}`)
  return found
}

await check('every fee source says the same', async () => {
  const [gasPrice, tip, fees, history, block] = await Promise.all([
    node.getGasPrice(),
    node.estimateMaxPriorityFeePerGas(),
    node.estimateFeesPerGas(),
    node.getFeeHistory({ blockCount: 4, rewardPercentiles: [10, 50, 90] }),
    node.getBlock(),
  ])
  assert.equal(history.baseFeePerGas.length, history.gasUsedRatio.length + 1)
  if (free) {
    const all = [
      gasPrice,
      tip,
      fees.maxFeePerGas,
      fees.maxPriorityFeePerGas,
      block.baseFeePerGas,
      ...history.baseFeePerGas,
      ...(history.reward ?? []).flat(),
    ]
    assert.deepEqual(
      all.filter((fee) => fee !== 0n),
      [],
    )
  } else {
    assert.ok(block.baseFeePerGas > 0n && gasPrice >= history.baseFeePerGas.at(-1))
    assert.ok(fees.maxFeePerGas >= block.baseFeePerGas + fees.maxPriorityFeePerGas)
  }
})

await must(free ? 'the account has no balance' : 'fund an account', async () => {
  if (!free) {
    const funder = connect(privateKeyToAccount(funderKey))
    await mined(await funder.sendTransaction({ to: alice.address, value: parseEther('2') }))
    await mined(await funder.sendTransaction({ to: bob.address, value: parseEther('1') }))
  }
  assert.equal(await node.getBalance({ address: alice.address }), free ? 0n : parseEther('2'))
})

const coin = await must('deploy ERC-20', () => deploy(Coin, 'Outside', 'OUT', 1_000_000n))
const deed = await check('deploy ERC-721', () => deploy(Deed))
const wares = await check('deploy ERC-1155', () => deploy(Wares))
const stall = await check('deploy a contract that reverts', () => deploy(Stall))
const purse = await check('deploy an EIP-7702 delegate', () => deploy(Purse))

const transfer = await must('transfer ERC-20', async () => {
  const { request, result } = await node.simulateContract({
    ...coin,
    functionName: 'transfer',
    args: [bob.address, 400n],
  })
  assert.equal(result, true)
  const receipt = await mined(await node.writeContract(request))
  assert.equal(await read(coin, 'balanceOf', alice.address), 999_600n)
  assert.equal(await read(coin, 'balanceOf', bob.address), 400n)
  return receipt
})

await check('transfer ERC-721', async () => {
  await write(deed, 'claim', 7n)
  await write(deed, 'transferFrom', alice.address, bob.address, 7n)
  assert.equal(await read(deed, 'ownerOf', 7n), bob.address)
})

await check('transfer ERC-1155 in a batch', async () => {
  await write(wares, 'stock', [1n, 2n], [10n, 20n])
  await write(wares, 'safeBatchTransferFrom', alice.address, bob.address, [1n, 2n], [3n, 4n], '0x')
  const left = await read(wares, 'balanceOfBatch', [alice.address, alice.address, bob.address], [1n, 2n, 2n])
  assert.deepEqual(left, [7n, 16n, 4n])
})

if (free)
  await check('caps that no balance covers do no harm, and nothing was charged', async () => {
    const caps = { maxFeePerGas: 7_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n } // what a wallet may insist on
    const transferOne = { ...coin, functionName: 'transfer', args: [bob.address, 1n], account: alice, ...caps }
    assert.ok((await node.estimateContractGas(transferOne)) > 21_000n)
    const { request } = await node.simulateContract(transferOne)
    await mined(await node.writeContract(request))
    assert.equal(await node.getBalance({ address: alice.address }), 0n)
  })

await check('read events by address, topic and range', async () => {
  const events = await node.getContractEvents({
    ...coin,
    eventName: 'Transfer',
    args: { to: bob.address },
    fromBlock: transfer.blockNumber,
    toBlock: 'latest',
  })
  assert.deepEqual(
    [events[0].args.from, events[0].args.value, events[0].transactionHash],
    [alice.address, 400n, transfer.transactionHash],
  )
  const byHash = await node.getLogs({ address: coin.address, blockHash: transfer.blockHash })
  assert.equal(byHash.length, 1)
  assert.equal(parseEventLogs({ abi: coin.abi, logs: byHash })[0].eventName, 'Transfer')
})

await check('subscribe to newHeads', async () => {
  const seen = []
  const stop = socket.watchBlocks({ onBlock: (block) => seen.push(block) })
  const pause = await node.getBlockNumber()
  await new Promise((resolve) => setTimeout(resolve, 200)) // eth_subscribe has no acknowledgement here
  const { blockNumber, blockHash } = await write(coin, 'transfer', bob.address, 1n)
  const head = await until('the head', () => seen.find((b) => b.number === blockNumber))
  assert.equal(head.hash, blockHash)
  assert.ok(blockNumber > pause)
  stop()
})

await check('subscribe to logs', async () => {
  const seen = []
  const stop = socket.watchContractEvent({
    ...coin,
    eventName: 'Transfer',
    args: { to: bob.address },
    onLogs: (logs) => seen.push(...logs),
  })
  await new Promise((resolve) => setTimeout(resolve, 200))
  const { transactionHash } = await write(coin, 'transfer', bob.address, 2n)
  const log = await until('the log', () => seen.find((l) => l.transactionHash === transactionHash))
  assert.equal(log.args.value, 2n)
  stop()
})

await check('subscribe to newPendingTransactions', async () => {
  const seen = []
  const stop = socket.watchPendingTransactions({ onTransactions: (hashes) => seen.push(...hashes) })
  await new Promise((resolve) => setTimeout(resolve, 200))
  const { transactionHash } = await write(coin, 'transfer', bob.address, 1n)
  await until('the hash', () => seen.includes(transactionHash))
  stop()
})

await check('log filter: new, changes, logs, uninstall', async () => {
  const filter = await node.createContractEventFilter({ ...coin, eventName: 'Transfer', strict: true })
  const { transactionHash } = await write(coin, 'transfer', bob.address, 3n)
  const changes = await until('the change', async () => {
    const logs = await node.getFilterChanges({ filter })
    return logs.length > 0 && logs
  })
  assert.deepEqual(
    changes.map((l) => [l.transactionHash, l.args.value]),
    [[transactionHash, 3n]],
  )
  assert.deepEqual(await node.getFilterChanges({ filter }), [])
  assert.ok((await node.getFilterLogs({ filter })).some((l) => l.transactionHash === transactionHash))
  assert.equal(await node.uninstallFilter({ filter }), true)
  assert.equal(await node.uninstallFilter({ filter }), false)
})

await check('block filter', async () => {
  const filter = await node.createBlockFilter()
  const { blockHash } = await write(coin, 'transfer', bob.address, 1n)
  await until('the hash', async () => (await node.getFilterChanges({ filter })).includes(blockHash))
  await node.uninstallFilter({ filter })
})

await check('watch events over HTTP', async () => {
  const seen = []
  const stop = node.watchContractEvent({ ...coin, eventName: 'Transfer', onLogs: (logs) => seen.push(...logs) })
  await new Promise((resolve) => setTimeout(resolve, 200))
  const { transactionHash } = await write(coin, 'transfer', bob.address, 1n)
  await until('the log', () => seen.some((l) => l.transactionHash === transactionHash))
  stop()
})

await check('many calls in one HTTP batch', async () => {
  let posts = 0
  const batching = connect(
    alice,
    overHttp(http, {
      batch: { wait: 5 },
      onFetchRequest: () => {
        posts += 1
      },
    }),
  )
  const [number, balances] = await Promise.all([
    batching.getBlockNumber(),
    Promise.all(
      Array.from({ length: 50 }, () =>
        batching.readContract({ ...coin, functionName: 'balanceOf', args: [alice.address] }),
      ),
    ),
  ])
  assert.ok(number >= transfer.blockNumber)
  assert.equal(new Set(balances).size, 1)
  assert.equal(posts, 1)
})

await check('transaction type legacy', () => typed('legacy', { gasPrice: free ? 0n : parseEther('0.00000001') }))
await check('transaction type eip2930 with an access list', async () => {
  const accessList = [{ address: coin.address, storageKeys: [`0x${'00'.repeat(32)}`] }]
  const tx = await typed('eip2930', { accessList, gasPrice: free ? 0n : parseEther('0.00000001') })
  assert.deepEqual(
    tx.accessList,
    accessList.map((e) => ({ ...e, address: e.address.toLowerCase() })),
  )
})
await check('transaction type eip1559', () => typed('eip1559', {}))

async function typed(type, fields) {
  const data = encodeFunctionData({ ...coin, functionName: 'transfer', args: [bob.address, 1n] })
  const { transactionHash } = await mined(await node.sendTransaction({ type, to: coin.address, data, ...fields }))
  const tx = await node.getTransaction({ hash: transactionHash })
  assert.equal(tx.type, type)
  assert.equal(tx.from, alice.address.toLowerCase())
  assert.equal(tx.input, data)
  return tx
}

await check('transaction type eip7702: an account runs two calls at once', async () => {
  const authorization = await node.signAuthorization({ account: bob, contractAddress: purse.address })
  const pay = (amount) => ({
    to: coin.address,
    data: encodeFunctionData({ ...coin, functionName: 'transfer', args: [alice.address, amount] }),
  })
  await mined(await node.sendTransaction({ type: 'eip7702', to: alice.address, authorizationList: [authorization] }))
  assert.equal(await node.getCode({ address: bob.address }), `0xef0100${purse.address.slice(2).toLowerCase()}`)

  const before = await read(coin, 'balanceOf', bob.address)
  const hash = await connect(bob).writeContract({
    address: bob.address,
    abi: purse.abi,
    functionName: 'run',
    args: [[pay(5n), pay(6n)]],
  })
  assert.equal((await mined(hash)).logs.length, 2)
  assert.equal(await read(coin, 'balanceOf', bob.address), before - 11n)
})

await check('transactions sent without waiting keep their order', async () => {
  const nonce = await node.getTransactionCount({ address: alice.address, blockTag: 'pending' })
  const hashes = await Promise.all(
    [0, 1, 2, 3, 4].map((i) =>
      node.writeContract({
        ...coin,
        functionName: 'transfer',
        args: [bob.address, 1n],
        nonce: nonce + i,
        gas: 100_000n,
      }),
    ),
  )
  const receipts = await Promise.all(hashes.map(mined))
  const order = receipts.map((r) => [r.blockNumber, r.transactionIndex])
  assert.deepEqual(
    order,
    order.toSorted((a, b) => Number(a[0] - b[0]) || a[1] - b[1]),
  )
  assert.equal(await node.getTransactionCount({ address: alice.address }), nonce + 5)
})

await check('sendTransactionSync answers with the receipt', async () => {
  const data = encodeFunctionData({ ...coin, functionName: 'transfer', args: [bob.address, 1n] })
  const receipt = await node.sendTransactionSync({ to: coin.address, data })
  assert.equal(receipt.status, 'success')
  assert.deepEqual(await node.getTransactionReceipt({ hash: receipt.transactionHash }), receipt)
})

await check('fillTransaction', async () => {
  const data = encodeFunctionData({ ...coin, functionName: 'transfer', args: [bob.address, 1n] })
  const filled = await node.request({
    method: 'eth_fillTransaction',
    params: [{ from: alice.address, to: coin.address, data }],
  })
  const nonce = await node.getTransactionCount({ address: alice.address })
  assert.equal(Number(filled.tx.nonce), nonce)
  assert.equal(Number(filled.tx.chainId), id)
  assert.ok(BigInt(filled.tx.gas) >= 21_000n)
  assert.ok(BigInt(filled.tx.maxFeePerGas) >= BigInt(filled.tx.maxPriorityFeePerGas))
  if (free) assert.equal(BigInt(filled.tx.maxFeePerGas), 0n)
})

await check('simulateCalls', async () => {
  const { results } = await node.simulateCalls({
    account: alice.address,
    calls: [
      { to: coin.address, abi: coin.abi, functionName: 'transfer', args: [nobody.address, 9n] },
      { to: coin.address, abi: coin.abi, functionName: 'balanceOf', args: [nobody.address] },
      { to: stall.address, abi: stall.abi, functionName: 'refuseWithError', args: [5n] },
    ],
  })
  assert.deepEqual(
    results.map((r) => r.status),
    ['success', 'success', 'failure'],
  )
  assert.equal(results[0].logs.length, 1)
  assert.equal(results[1].result, 9n)
  assert.equal(await read(coin, 'balanceOf', nobody.address), 0n)
})

await check('call with a state override', async () => {
  const balance = await node.readContract({
    ...coin,
    functionName: 'totalSupply',
    stateOverride: [
      {
        address: coin.address,
        stateDiff: [{ slot: `0x${'02'.padStart(64, '0')}`, value: `0x${'2a'.padStart(64, '0')}` }],
      },
    ],
  })
  assert.equal(balance, 42n)
  assert.equal(await read(coin, 'totalSupply'), 1_000_000n)
})

await check('estimateGas is enough, and not three times too much', async () => {
  const gas = await node.estimateContractGas({
    ...coin,
    functionName: 'transfer',
    args: [bob.address, 1n],
    account: alice,
  })
  const receipt = await mined(
    await node.writeContract({ ...coin, functionName: 'transfer', args: [bob.address, 1n], gas }),
  )
  assert.ok(gas >= receipt.gasUsed && gas < receipt.gasUsed * 3n, `${gas} for ${receipt.gasUsed}`)
})

await check('createAccessList names the slots', async () => {
  const data = encodeFunctionData({ ...coin, functionName: 'transfer', args: [bob.address, 1n] })
  const { accessList, gasUsed } = await node.createAccessList({ account: alice.address, to: coin.address, data })
  assert.ok(gasUsed > 0n)
  assert.equal(accessList.find((e) => e.address.toLowerCase() === coin.address.toLowerCase()).storageKeys.length, 2)
})

await check('getStorageAt', async () => {
  const supply = Coin.storageLayout.storage.find((v) => v.label === '_totalSupply')
  const slot = `0x${BigInt(supply.slot).toString(16)}`
  assert.equal(BigInt(await node.getStorageAt({ address: coin.address, slot })), 1_000_000n)
})

await check('blocks by tag, number and hash', async () => {
  const block = await node.getBlock({ blockHash: transfer.blockHash, includeTransactions: true })
  assert.equal(block.number, transfer.blockNumber)
  const mine = block.transactions.find((tx) => tx.hash === transfer.transactionHash)
  assert.equal(mine.transactionIndex, transfer.transactionIndex)
  assert.equal((await node.getBlock({ blockNumber: block.number })).hash, block.hash)
  assert.equal((await node.getBlock({ blockNumber: block.number - 1n })).hash, block.parentHash)
  assert.equal(await node.getBlockTransactionCount({ blockHash: block.hash }), block.transactions.length)
  const [latest, safe, finalized, pending] = await Promise.all(
    ['latest', 'safe', 'finalized', 'pending'].map((blockTag) => node.getBlock({ blockTag })),
  )
  assert.ok(latest.number >= safe.number && safe.number >= finalized.number)
  assert.ok(pending.number === null || pending.number >= latest.number)
})

await check('eth_getBlockReceipts equals the receipts one by one', async () => {
  const number = `0x${transfer.blockNumber.toString(16)}`
  const all = await node.request({ method: 'eth_getBlockReceipts', params: [number] })
  for (const receipt of all) {
    const params = [receipt.transactionHash]
    assert.deepEqual(await node.request({ method: 'eth_getTransactionReceipt', params }), receipt)
  }
  assert.ok(all.some((r) => r.transactionHash === transfer.transactionHash))
})

await check('read the state of an earlier block', async () => {
  const before = { ...coin, functionName: 'balanceOf', args: [bob.address], blockNumber: transfer.blockNumber - 1n }
  assert.equal(await node.readContract(before), 0n)
})

await check('trace: callTracer, prestateTracer, struct logs', async () => {
  const trace = (tracer) =>
    node.request({ method: 'debug_traceTransaction', params: [transfer.transactionHash, ...tracer] })
  const call = await trace([{ tracer: 'callTracer', tracerConfig: { withLog: true } }])
  assert.equal(call.type, 'CALL')
  assert.equal(call.to, coin.address.toLowerCase())
  assert.equal(BigInt(call.gasUsed), transfer.gasUsed)
  assert.equal(call.logs.length, 1)
  const pre = await trace([{ tracer: 'prestateTracer' }])
  assert.ok(coin.address.toLowerCase() in pre)
  const steps = await trace([])
  assert.equal(steps.failed, false)
  assert.equal(steps.structLogs[0].op, 'PUSH1')
  assert.ok(steps.structLogs.some((step) => step.op === 'SSTORE'))
})

await check('custom error is decoded', async () => {
  const tooMuch = { ...coin, functionName: 'transfer', args: [bob.address, 5_000_000n], account: alice }
  const { data } = await failure(node.simulateContract(tooMuch), ContractFunctionRevertedError)
  assert.equal(data.errorName, 'ERC20InsufficientBalance')
  assert.equal(data.args[0], alice.address)
  assert.equal(data.args[2], 5_000_000n)
  await failure(node.estimateContractGas(tooMuch), ContractFunctionRevertedError)
})

await check('revert reason is decoded', async () => {
  const { reason } = await failure(read(stall, 'refuseWithReason', 'not today'), ContractFunctionRevertedError)
  assert.equal(reason, 'not today')
})

await check('panic is decoded', async () => {
  const { reason } = await failure(read(stall, 'divide', 1n, 0n), ContractFunctionRevertedError)
  assert.match(reason, /division.*by zero/i)
})

await check('a transaction that reverts is in a block, with status 0', async () => {
  const hash = await node.writeContract({ ...stall, functionName: 'refuseWithReason', args: ['no'], gas: 100_000n })
  const receipt = await node.waitForTransactionReceipt({ hash, timeout: 10_000 })
  assert.equal(receipt.status, 'reverted')
  assert.equal(receipt.logs.length, 0)
})

const fees = free
  ? { maxFeePerGas: 0n, maxPriorityFeePerGas: 0n }
  : await node
      .estimateFeesPerGas()
      .then(({ maxFeePerGas, maxPriorityFeePerGas }) => ({ maxFeePerGas, maxPriorityFeePerGas }))
const send = (account, fields) =>
  connect(account).sendTransaction({ to: bob.address, gas: 21_000n, nonce: 0, ...fees, ...fields })

await check('nonce too low is NonceTooLowError', () => failure(send(alice, {}), NonceTooLowError))
await check('too little balance is InsufficientFundsError', () =>
  failure(send(nobody, { value: 1n }), InsufficientFundsError),
)
await check('too little gas is IntrinsicGasTooLowError', async () =>
  failure(send(alice, { gas: 20_000n, nonce: await node.getTransactionCount(alice) }), IntrinsicGasTooLowError),
)
await check('an unknown method is MethodNotFoundRpcError', () =>
  failure(node.request({ method: 'eth_noSuchMethod' }, { retryCount: 0 }), MethodNotFoundRpcError),
)
await check('an unknown receipt is TransactionReceiptNotFoundError', () =>
  failure(node.getTransactionReceipt({ hash: `0x${'ab'.repeat(32)}` }), TransactionReceiptNotFoundError),
)
await check('an absent account is empty', async () => {
  assert.equal(await node.getTransactionCount({ address: nobody.address }), 0)
  assert.equal(await node.getCode({ address: nobody.address }), undefined)
  assert.equal(await node.getBalance({ address: zeroAddress, blockNumber: 0n }), 0n)
})

finish()
