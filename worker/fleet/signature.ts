// Who may move files between processes: requests are signed with a secret that lies in the Redis they share, so that it never
// goes over the wire. Whoever can read that Redis could take any call anyway.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { RedisStore } from '../store/connect.ts'

const SECRET = '{thaw}:fleet:secret'
const MAKE = `
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])`
/** Clocks of machines may differ by so much. */
const SKEW_MS = 5 * 60_000

export const SIGNATURE_HEADER = 'thaw-signature'
export const DIGEST_HEADER = 'thaw-sha256'

/** Asks for the secret of the fleet, made by whoever comes first; rejects with StoreError. */
export type FleetSecret = () => Promise<Buffer>

/** Asked again after each time Redis came back: it may be another, empty one. */
export function fleetSecret(redis: RedisStore): FleetSecret {
  let known: Buffer | null = null
  redis.onAvailable(() => {
    known = null
  })
  return async () => {
    if (known !== null) return known
    const text = (await redis.script(MAKE, [SECRET], [randomBytes(32).toString('base64')])) as string
    known = Buffer.from(text, 'base64')
    return known
  }
}

/** `sha256`: of the body, '' for none. */
export function signatureOf(secret: Buffer, method: string, path: string, sha256: string, atMs: number): string {
  return `${atMs}.${createHmac('sha256', secret).update(`${method}\n${path}\n${sha256}\n${atMs}`).digest('hex')}`
}

export function isSigned(
  secret: Buffer,
  method: string,
  path: string,
  sha256: string,
  signature: string,
  nowMs: number,
): boolean {
  const atMs = Number(signature.split('.', 1)[0])
  if (!Number.isSafeInteger(atMs) || Math.abs(nowMs - atMs) > SKEW_MS) return false
  const expected = Buffer.from(signatureOf(secret, method, path, sha256, atMs))
  const given = Buffer.from(signature)
  return expected.length === given.length && timingSafeEqual(expected, given)
}
