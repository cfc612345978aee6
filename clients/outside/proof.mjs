// Proofs, judged by a library that knows nothing of the node: @ethereumjs/mpt and @ethereumjs/rlp recompute the
// header's hash, the roots of transactions and receipts, and verify eth_getProof against the header's stateRoot.
import { MerklePatriciaTrie, verifyMerkleProof } from '@ethereumjs/mpt'
import { RLP } from '@ethereumjs/rlp'
import { hexToBytes } from '@ethereumjs/util'
import {
  ContractFactory,
  JsonRpcProvider,
  Transaction,
  Wallet,
  keccak256,
  parseEther,
  toBeHex,
  toQuantity,
  zeroPadValue,
} from 'ethers'
import { artifact, assert, check, finish, free, funderKey, http, key, must, until } from './checks.mjs'

const EMPTY_ROOT = '0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421'
const node = new JsonRpcProvider(http, undefined, { pollingInterval: 25, cacheTimeout: -1 })
const alice = new Wallet(key('alice'), node)
const bob = new Wallet(key('bob')).address
const absent = new Wallet(key('absent')).address

/** A quantity of JSON-RPC as RLP wants it: no leading zeros, zero is empty. */
const quantity = (hex) => (BigInt(hex) === 0n ? new Uint8Array() : hexToBytes(toBeHex(BigInt(hex))))
const encode = (value) => RLP.encode(value)
const same = (bytes, hex, what) => assert.equal(Buffer.from(bytes).toString('hex'), hex.slice(2).toLowerCase(), what)

const { contract, coin, at } = await must('deploy and transfer', async () => {
  if (!free)
    await (await new Wallet(funderKey, node).sendTransaction({ to: alice.address, value: parseEther('1') })).wait()
  const { abi, bytecode } = artifact('Coin')
  const contract = await new ContractFactory(abi, bytecode, alice).deploy('Proof', 'PRF', 10n ** 24n)
  await contract.waitForDeployment()
  const { blockNumber } = await (await contract.transfer(bob, 12345n)).wait()
  return { contract, coin: contract.target, at: toQuantity(blockNumber) }
})
const block = await must('fetch the block of the transfer', () => node.send('eth_getBlockByNumber', [at, true]))

await check('the block hash is the hash of the header', async () => {
  const b = block
  const fields = [
    b.parentHash,
    b.sha3Uncles,
    b.miner,
    b.stateRoot,
    b.transactionsRoot,
    b.receiptsRoot,
    b.logsBloom,
    quantity(b.difficulty),
    quantity(b.number),
    quantity(b.gasLimit),
    quantity(b.gasUsed),
    quantity(b.timestamp),
    b.extraData,
    b.mixHash,
    b.nonce,
    quantity(b.baseFeePerGas),
  ]
  // Each fork appends; a node leaves out what its chain does not have.
  for (const [name, form] of [
    ['withdrawalsRoot'],
    ['blobGasUsed', quantity],
    ['excessBlobGas', quantity],
    ['parentBeaconBlockRoot'],
    ['requestsHash'],
  ])
    if (b[name] !== undefined) fields.push(form ? form(b[name]) : b[name])
  assert.ok(hexToBytes(b.extraData).length <= 32)
  assert.equal(keccak256(encode(fields)), b.hash)
})

const rootOf = async (items) => {
  const trie = new MerklePatriciaTrie()
  for (const [i, item] of items.entries()) await trie.put(encode(i), item)
  return trie.root()
}

await check('transactionsRoot, from the transactions re-encoded', async () => {
  const raw = block.transactions.map((tx) => {
    const dynamic = tx.type === '0x2' || tx.type === '0x4'
    const encoded = Transaction.from({
      type: Number(tx.type),
      to: tx.to,
      nonce: Number(tx.nonce),
      gasLimit: tx.gas,
      data: tx.input,
      value: tx.value,
      ...(tx.chainId && { chainId: tx.chainId }),
      ...(tx.type !== '0x0' && { accessList: tx.accessList }),
      ...(dynamic
        ? { maxFeePerGas: tx.maxFeePerGas, maxPriorityFeePerGas: tx.maxPriorityFeePerGas }
        : { gasPrice: tx.gasPrice }),
      ...(tx.type === '0x4' && { authorizationList: tx.authorizationList.map((a) => ({ ...a, signature: a })) }),
      signature: { r: toBeHex(tx.r, 32), s: toBeHex(tx.s, 32), v: tx.v },
    })
    assert.equal(encoded.hash, tx.hash)
    assert.equal(encoded.from.toLowerCase(), tx.from.toLowerCase())
    return hexToBytes(encoded.serialized)
  })
  same(await rootOf(raw), block.transactionsRoot)
})

await check('receiptsRoot, from the receipts re-encoded', async () => {
  const receipts = await node.send('eth_getBlockReceipts', [at])
  const encoded = receipts.map((r) => {
    const logs = r.logs.map((l) => [l.address, l.topics, l.data])
    const body = encode([quantity(r.status), quantity(r.cumulativeGasUsed), r.logsBloom, logs])
    return r.type === '0x0' ? body : Uint8Array.from([Number(r.type), ...body])
  })
  same(await rootOf(encoded), block.receiptsRoot)
})

/** The account that the proof shows under the state root, or null when it shows that there is none. */
const verifyAccount = async (proof, stateRoot = block.stateRoot) => {
  const found = await verifyMerkleProof(hexToBytes(proof.address), proof.accountProof.map(hexToBytes), {
    useKeyHashing: true,
    root: hexToBytes(stateRoot),
  })
  return found && RLP.decode(found)
}
const verifySlot = async (proof, index) => {
  const { key: slot, value, proof: nodes } = proof.storageProof[index]
  const found = await verifyMerkleProof(hexToBytes(zeroPadValue(toBeHex(BigInt(slot)), 32)), nodes.map(hexToBytes), {
    useKeyHashing: true,
    root: hexToBytes(proof.storageHash),
  })
  const number = found ? BigInt(`0x${Buffer.from(RLP.decode(found)).toString('hex')}`) : 0n
  assert.equal(number, BigInt(value))
  return number
}
const verifyWhole = async (proof) => {
  const [nonce, balance, storageHash, codeHash] = await verifyAccount(proof)
  same(nonce, `0x${Buffer.from(quantity(proof.nonce)).toString('hex')}`, 'nonce')
  same(balance, `0x${Buffer.from(quantity(proof.balance)).toString('hex')}`, 'balance')
  same(storageHash, proof.storageHash, 'storageHash')
  same(codeHash, proof.codeHash, 'codeHash')
}
const slotOf = (holder) => {
  const { slot } = artifact('Coin').storageLayout.storage.find((v) => v.label === '_balances')
  return keccak256(`0x${zeroPadValue(holder, 32).slice(2)}${BigInt(slot).toString(16).padStart(64, '0')}`)
}
const prove = (address, slots, tag = at) => node.send('eth_getProof', [address, slots, tag])

await check('an account that exists', async () => {
  const proof = await prove(alice.address, [])
  await verifyWhole(proof)
  assert.equal(Number(proof.nonce), 2)
  assert.equal(proof.storageHash, EMPTY_ROOT)
})

await check('a contract: its code hash', async () => {
  const proof = await prove(coin, [])
  await verifyWhole(proof)
  assert.equal(proof.codeHash, keccak256(await node.getCode(coin)))
})

await check('balances of the ERC-20, by storage slot', async () => {
  const proof = await prove(coin, [slotOf(bob), slotOf(alice.address)])
  await verifyWhole(proof)
  assert.equal(await verifySlot(proof, 0), 12345n)
  assert.equal(await verifySlot(proof, 1), 10n ** 24n - 12345n)
})

await check('a storage slot that is absent', async () => {
  const proof = await prove(coin, [slotOf(absent)])
  await verifyWhole(proof)
  assert.equal(await verifySlot(proof, 0), 0n)
  assert.ok(proof.storageProof[0].proof.length > 0)
})

await check('an account that is absent', async () => {
  const proof = await prove(absent, [])
  assert.equal(await verifyAccount(proof), null)
  assert.ok(proof.accountProof.length > 0)
  assert.deepEqual([BigInt(proof.nonce), BigInt(proof.balance), proof.storageHash], [0n, 0n, EMPTY_ROOT])
})

await check('a proof of an earlier block', async () => {
  const earlier = toQuantity(BigInt(at) - 1n)
  const { stateRoot } = await node.send('eth_getBlockByNumber', [earlier, false])
  const proof = await prove(coin, [slotOf(bob)], earlier)
  assert.notEqual(stateRoot, block.stateRoot)
  assert.ok(await verifyAccount(proof, stateRoot))
  assert.equal(await verifySlot(proof, 0), 0n)
})

await check('a proof against the finalized block', async () => {
  for (let i = 0; i < 2; i++) await (await contract.transfer(alice, 1n)).wait() // where finality takes successors
  const final = await until('finality', async () => {
    const b = await node.send('eth_getBlockByNumber', ['finalized', false])
    return BigInt(b.number) >= BigInt(at) && b
  })
  const proof = await prove(coin, [slotOf(bob)], final.number)
  assert.ok(await verifyAccount(proof, final.stateRoot))
  assert.equal(await verifySlot(proof, 0), 12345n)
})

await check('the judge refuses a forged proof', async () => {
  const proof = await prove(coin, [])
  const last = hexToBytes(proof.accountProof.at(-1))
  last[last.length - 1] ^= 1
  const forged = {
    ...proof,
    accountProof: [...proof.accountProof.slice(0, -1), `0x${Buffer.from(last).toString('hex')}`],
  }
  await assert.rejects(verifyAccount(forged))
  await assert.rejects(verifyAccount(proof, block.parentHash))
})

finish()
