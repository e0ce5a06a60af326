// Whether Redis has room for more calls, from what it says of its memory. Pure.

/** More is taken in below this share of `maxmemory`: the rest is for the ends of what was accepted. */
export const FULL_SHARE = 0.85

export interface RedisMemory {
  /** What counts against the bound. */
  readonly usedBytes: number
  /** `maxmemory`; 0: no bound. */
  readonly maxBytes: number
  /** `maxmemory-policy`; null: not known. */
  readonly policy: string | null
}

/** From the text of `INFO memory`; null: it says nothing of it. Buffers of replicas and of the append-only file do not count, as they
 *  do not for the server (`mem_not_counted_for_evict`). */
export function parseMemory(info: string): RedisMemory | null {
  const fields = new Map(info.split('\r\n').map((line) => line.split(':', 2) as [string, string]))
  const number = (name: string): number => Number(fields.get(name) ?? Number.NaN)
  const usedBytes = number('used_memory') - (number('mem_not_counted_for_evict') || 0)
  const maxBytes = number('maxmemory')
  if (Number.isNaN(usedBytes) || Number.isNaN(maxBytes)) return null
  return { usedBytes, maxBytes, policy: fields.get('maxmemory_policy') ?? null }
}

/** `moreBytes`: taken in since it was asked. */
export function isFull({ usedBytes, maxBytes }: RedisMemory, moreBytes = 0): boolean {
  return maxBytes > 0 && usedBytes + moreBytes >= FULL_SHARE * maxBytes
}

const SLOW_S = 30
const LONGEST_S = 60

/** When there may be room again, s: by how fast it was freed between two looks. Nothing freed: half a minute. */
export function roomAgainS(before: RedisMemory | null, now: RedisMemory, betweenMs: number): number {
  const over = now.usedBytes - FULL_SHARE * now.maxBytes
  const freed = (before?.usedBytes ?? 0) - now.usedBytes
  if (before === null || freed <= 0 || betweenMs <= 0) return SLOW_S
  return Math.min(LONGEST_S, Math.max(1, Math.ceil((over / freed) * (betweenMs / 1000))))
}

const MIB = 1024 ** 2

/** For people: what is full, and the way out. */
export function fullSentence({ usedBytes, maxBytes }: RedisMemory): string {
  const mib = (bytes: number): string => (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0)
  const room =
    maxBytes === 0
      ? ''
      : ` (${mib(usedBytes)} of ${mib(maxBytes)} MiB; the last ${mib((1 - FULL_SHARE) * maxBytes)} are kept for what was accepted)`
  return `Redis is full${room}; give it more (maxmemory), or wait until kept results expire`
}
