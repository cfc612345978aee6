// web3.js: contracts, past events, WebSocket subscriptions, batches, and the errors it recognises.
import { Web3, Web3PluginBase } from 'web3'
import { artifact, assert, check, finish, free, funderKey, http, key, must, until, ws } from './checks.mjs'

const [Coin, Stall] = ['Coin', 'Stall'].map(artifact)
const web3 = new Web3(http)
web3.eth.transactionPollingInterval = 25
web3.eth.transactionReceiptPollingInterval = 25

// debug_ is not part of web3.js: a plugin is its documented way to reach another namespace.
class Debug extends Web3PluginBase {
  pluginNamespace = 'debug'
  trace(hash, options) {
    return this.requestManager.send({ method: 'debug_traceTransaction', params: [hash, options] })
  }
}
web3.registerPlugin(new Debug())

const enter = (name) => {
  const account = web3.eth.accounts.privateKeyToAccount(key(name))
  web3.eth.accounts.wallet.add(account)
  return account.address
}
const [alice, bob, nobody] = ['alice', 'bob', 'nobody'].map(enter)

const mined = async (sending) => {
  const receipt = await sending
  assert.equal(receipt.status, 1n)
  if (free) assert.equal(receipt.effectiveGasPrice, 0n)
  return receipt
}
const deploy = async ({ abi, bytecode }, ...args) => {
  const contract = await new web3.eth.Contract(abi).deploy({ data: bytecode, arguments: args }).send({ from: alice })
  assert.ok((await web3.eth.getCode(contract.options.address)).length > 2)
  return contract
}
const failure = (promise) =>
  promise.then(
    () => assert.fail('it was accepted'),
    (error) => error,
  )

await must(free ? 'the account has no balance' : 'fund an account', async () => {
  const ether = web3.utils.toWei('1', 'ether')
  if (!free) {
    const funder = web3.eth.accounts.privateKeyToAccount(funderKey)
    web3.eth.accounts.wallet.add(funder)
    await mined(web3.eth.sendTransaction({ from: funder.address, to: alice, value: ether }))
  }
  assert.equal(await web3.eth.getBalance(alice), free ? 0n : BigInt(ether))
})

const coin = await must('deploy ERC-20', () => deploy(Coin, 'Outside', 'OUT', 1_000_000n))
const stall = await check('deploy a contract that reverts', () => deploy(Stall))

const transfer = await must('transfer ERC-20', async () => {
  const receipt = await mined(coin.methods.transfer(bob, 400n).send({ from: alice }))
  assert.equal(await coin.methods.balanceOf(alice).call(), 999_600n)
  assert.equal(receipt.events.Transfer.returnValues.value, 400n)
  return receipt
})

if (free) await check('nothing was charged', async () => assert.equal(await web3.eth.getBalance(alice), 0n))

await check('read past events', async () => {
  const events = await coin.getPastEvents('Transfer', { filter: { to: bob }, fromBlock: transfer.blockNumber })
  assert.deepEqual(
    events.map((e) => [e.returnValues.value, e.transactionHash]),
    [[400n, transfer.transactionHash]],
  )
})

await check('subscribe to newHeads and logs', async () => {
  const socket = new Web3(ws)
  const heads = [],
    logs = []
  const headers = await socket.eth.subscribe('newBlockHeaders')
  headers.on('data', (head) => heads.push(head))
  const transfers = await socket.eth.subscribe('logs', { address: coin.options.address })
  transfers.on('data', (log) => logs.push(log))
  const { blockNumber, transactionHash } = await mined(coin.methods.transfer(bob, 3n).send({ from: alice }))
  await until('the head', () => heads.some((h) => BigInt(h.number) === blockNumber))
  await until('the log', () => logs.some((l) => l.transactionHash === transactionHash))
  await Promise.all([headers.unsubscribe(), transfers.unsubscribe()])
  socket.provider.disconnect()
})

await check('a batch of three', async () => {
  const batch = new web3.BatchRequest()
  const ask = (method, ...params) => batch.add({ jsonrpc: '2.0', method, params })
  const answers = [
    ask('eth_blockNumber'),
    ask('eth_getTransactionReceipt', transfer.transactionHash),
    ask('eth_getCode', coin.options.address, 'latest'),
  ]
  await batch.execute()
  const [number, receipt, code] = await Promise.all(answers)
  assert.ok(BigInt(number) >= transfer.blockNumber)
  assert.equal(receipt.transactionHash, transfer.transactionHash)
  assert.ok(code.length > 2)
})

for (const [type, fields] of [
  ['0x0', { gasPrice: free ? 0n : 10n ** 10n }],
  ['0x1', { gasPrice: free ? 0n : 10n ** 10n, accessList: [{ address: coin.options.address, storageKeys: [] }] }],
  ['0x2', {}],
]) {
  await check(`transaction type ${type}`, async () => {
    const data = coin.methods.transfer(bob, 1n).encodeABI()
    const sent = await mined(
      web3.eth.sendTransaction({ from: alice, to: coin.options.address, data, gas: 100_000n, type, ...fields }),
    )
    assert.equal(BigInt((await web3.eth.getTransaction(sent.transactionHash)).type), BigInt(type))
  })
}

await check('fee history', async () => {
  const { baseFeePerGas, gasUsedRatio } = await web3.eth.getFeeHistory(3, 'latest', [50])
  assert.equal(baseFeePerGas.length, gasUsedRatio.length + 1)
  assert.ok(baseFeePerGas.every((fee) => (free ? fee === 0n : fee > 0n)))
})

await check('getProof', async () => {
  const proof = await web3.eth.getProof(coin.options.address, [`0x${'2'.padStart(64, '0')}`], 'latest')
  assert.equal(BigInt(proof.storageProof[0].value), 1_000_000n)
  assert.ok(proof.accountProof.length > 0)
})

await check('createAccessList', async () => {
  const data = coin.methods.transfer(bob, 1n).encodeABI()
  const { accessList } = await web3.eth.createAccessList({ from: alice, to: coin.options.address, data })
  assert.equal(accessList[0].storageKeys.length, 2)
})

await check('trace over a plugin', async () => {
  const call = await web3.debug.trace(transfer.transactionHash, { tracer: 'callTracer' })
  assert.equal(call.from, alice.toLowerCase())
})

await check('custom error is decoded', async () => {
  const { cause } = await failure(coin.methods.transfer(bob, 5_000_000n).call({ from: alice }))
  assert.equal(cause.errorName, 'ERC20InsufficientBalance')
  assert.equal(cause.errorArgs.needed, 5_000_000n)
})

await check('revert reason is decoded', async () => {
  const error = await failure(stall.methods.refuseWithReason('not today').send({ from: alice }))
  assert.match(`${error.reason} ${error.cause?.message}`, /not today/)
})

await check('a mined revert is a TransactionRevert error', async () => {
  const data = stall.methods.refuseWithReason('mined').encodeABI()
  const sending = web3.eth.sendTransaction({ from: alice, to: stall.options.address, data, gas: 100_000n }, undefined, {
    checkRevertBeforeSending: false,
  })
  const error = await failure(sending)
  assert.match(error.name, /^TransactionRevert/)
  assert.equal(error.receipt.status, 0n)
})

// web3.js has no types for these two: what it hands on is the node's own code and message.
const plain = { to: bob, gas: 21_000n, type: '0x0', gasPrice: free ? 0n : 10n ** 10n }
const refused = async (fields, words) => {
  const signer = web3.eth.accounts.wallet.get(fields.from)
  const { rawTransaction } = await signer.signTransaction({ ...plain, ...fields, chainId: await web3.eth.getChainId() })
  const error = await failure(
    web3.eth.sendSignedTransaction(rawTransaction, undefined, { checkRevertBeforeSending: false }),
  )
  assert.match(`${error.message} ${error.innerError?.message ?? ''} ${error.cause?.message ?? ''}`, words)
}
await check('nonce too low is told', () => refused({ from: alice, nonce: 0, value: 0 }, /nonce too low/i))
await check('too little balance is told', () => refused({ from: nobody, nonce: 0, value: 1 }, /insufficient funds/i))
await check('an unknown method is code -32601', async () => {
  const error = await failure(web3.requestManager.send({ method: 'eth_noSuchMethod', params: [] }))
  assert.equal(error.cause?.code ?? error.code ?? error.innerError?.code, -32601)
})

finish()
