import { buildModule } from '@nomicfoundation/hardhat-ignition/modules'

/** Three tokens, and one transfer of each, in the order that they depend on each other. */
export default buildModule('Market', (m) => {
  const [seller, buyer] = [m.getAccount(0), m.getAccount(1)]

  const coin = m.contract('Coin', ['Market', 'MKT', 1_000_000n])
  m.call(coin, 'transfer', [buyer, 250n])

  const deed = m.contract('Deed')
  const claimed = m.call(deed, 'claim', [1n])
  m.call(deed, 'transferFrom', [seller, buyer, 1n], { after: [claimed] })

  const wares = m.contract('Wares')
  const stocked = m.call(wares, 'stock', [
    [1n, 2n],
    [10n, 20n],
  ])
  m.call(wares, 'safeTransferFrom', [seller, buyer, 1n, 3n, '0x'], { after: [stocked] })

  return { coin, deed, wares }
})
