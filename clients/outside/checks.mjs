// What every JavaScript client shares: where the node is, whose keys to use, and how a check is reported:
// one line of tab-separated outcome, milliseconds, name and, when it failed, why.
import { strict as assert } from 'node:assert'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export { assert }
export const http = process.env.RPC_HTTP
export const ws = process.env.RPC_WS
export const free = process.env.FEE_MODE === 'free'
export const funderKey = process.env.FUNDER_KEY // rich in eip1559 mode; never used in free mode

const LIMIT_MS = 20_000

/** A key that only this run and this client know: rerunning on the same chain meets no old nonce. */
export function key(name) {
  return '0x' + createHash('sha256').update(`${process.env.RUN_SEED}/${name}`).digest('hex')
}

export function artifact(contract) {
  return JSON.parse(readFileSync(join(process.env.ARTIFACTS, `${contract}.json`)))
}

/** Runs one check and reports it. Gives back what the body gives, or undefined when it failed. */
export async function check(name, body) {
  const start = performance.now()
  const report = (outcome, ...more) =>
    console.log([outcome, Math.round(performance.now() - start), name, ...more].join('\t'))
  try {
    const result = await within(LIMIT_MS, body())
    report('ok')
    return result
  } catch (error) {
    report('failed', oneLine(error))
  }
}

/** Like `check`, but nothing after it makes sense when it fails: the script ends. */
export async function must(name, body) {
  let passed = false
  const result = await check(name, async () => {
    const value = await body()
    passed = true
    return value
  })
  if (!passed) process.exit(1)
  return result
}

/** The runner takes a script that ends without this line for one that was cut short. */
export function finish() {
  process.stdout.write('end\n', () => process.exit(0)) // open sockets and pollers must not hold us
}

export async function until(what, predicate, limit = 10_000) {
  const deadline = Date.now() + limit
  for (;;) {
    const value = await predicate()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${limit} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function within(limit, promise) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${limit} ms`)), limit)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function oneLine(error) {
  const text =
    error?.shortMessage && error?.details ? `${error.shortMessage} (${error.details})` : (error?.message ?? error)
  return String(text).replace(/\s+/g, ' ').slice(0, 400)
}
