import { afterEach, describe, expect, test } from 'vitest'
import { SourceMapError } from '../../../../worker/source-maps/map-bounds.ts'
import { type MapTask, MapThread } from '../../../../worker/source-maps/map-thread.ts'
import { SourceMaps } from '../../../../worker/source-maps/source-maps.ts'
import { FakeClock, settle } from '../../../support/fake-clock.ts'
import { ThreadByHand } from '../../../support/map-thread-by-hand.ts'
import { realClock, silentLogger } from '../../../support/real-clock.ts'

const MAP = Buffer.from(JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA' }))
const code = (sourceMap: Buffer | null = MAP) => ({ source: Buffer.alloc(1000), sourceMap })
const key = (image: string, namespace = 'default') => ({ image, namespace })
const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})
function kept<T extends { close(): Promise<void> }>(one: T): T {
  open.push(one)
  return one
}

describe('source maps', () => {
  test('are decoded in a thread of their own, once, and then known at once', async () => {
    const maps = kept(new SourceMaps({ clock: realClock, logger: silentLogger, codeOf: async () => code() }))
    const first = maps.get(key('one'))
    expect(first).toBeInstanceOf(Promise)
    expect((await first)?.sources).toEqual(['a.ts'])
    expect(maps.get(key('one'))).not.toBeInstanceOf(Promise)
    expect(maps.bytes).toBeGreaterThan(0)
  })

  test('that cannot be decoded, or are not there, are none, and are not tried again', async () => {
    let reads = 0
    const codes: Record<string, Buffer | null> = {
      bad: Buffer.from('{'),
      none: null,
      large: Buffer.alloc(2 * 1024 ** 2),
    }
    const codeOf = async (image: string) => {
      reads++
      return code(codes[image] ?? null)
    }
    const maps = kept(new SourceMaps({ clock: realClock, logger: silentLogger, codeOf }))
    for (const image of Object.keys(codes)) {
      expect(await maps.get(key(image))).toBeNull()
      expect(maps.get(key(image))).toBeNull()
    }
    expect(reads).toBe(3)
  })

  test('whose image cannot be read now are asked for again', async () => {
    let works = false
    const codeOf = async () => {
      if (!works) throw new Error('the disk is away')
      return code()
    }
    const maps = kept(new SourceMaps({ clock: realClock, logger: silentLogger, codeOf }))
    expect(await maps.get(key('one'))).toBeNull()
    works = true
    expect(await maps.get(key('one'))).not.toBeNull()
  })

  test('are waited for 3 s at most, and are there for those who come later', async () => {
    const clock = new FakeClock()
    const thread = new ThreadByHand()
    const maps = new SourceMaps({ clock, logger: silentLogger, codeOf: async () => code(), thread })
    let got: unknown = 'nothing'
    void Promise.resolve(maps.get(key('one'))).then((map) => {
      got = map
    })
    await clock.advance(2999)
    expect(got).toBe('nothing')
    await clock.advance(1)
    expect(got).toBeNull()
    await thread.asked[0]!.go()
    await settle()
    expect(maps.get(key('one'))).toMatchObject({ sources: ['a.ts'] })
    expect(thread.asked).toHaveLength(1)
  })

  test('are forgotten above a bound of bytes, the longest unused first', async () => {
    const maps = kept(
      new SourceMaps({ clock: realClock, logger: silentLogger, codeOf: async () => code(), cacheBytes: 150 }),
    )
    for (const image of ['one', 'two', 'three']) await maps.get(key(image))
    expect(maps.bytes).toBeLessThanOrEqual(150)
    expect(maps.get(key('three'))).not.toBeInstanceOf(Promise)
    expect(maps.get(key('one'))).toBeInstanceOf(Promise)
  })

  test('of a deploy are refused with the bound, off the event loop', async () => {
    const maps = kept(new SourceMaps({ clock: realClock, logger: silentLogger, codeOf: async () => code() }))
    await maps.check(MAP, 1000, 'default')
    const many = Buffer.from(`{"version":3,"sources":["a"],"names":[],"mappings":"${'CAAA,'.repeat(200_000)}A"}`)
    await expect(maps.check(many, 1000, 'default')).rejects.toThrow(/200001 segments in mappings; at most 11000/)
    await expect(maps.check(Buffer.alloc(3_000_000), 1000, 'default')).rejects.toThrow(/3000000 bytes; at most/)
  })
})

describe('the map thread', () => {
  const task =
    (changes: Partial<MapTask> = {}) =>
    async (): Promise<MapTask> => ({
      map: MAP,
      bundleBytes: 1000,
      wanted: true,
      ...changes,
    })

  test('takes the namespaces in turn, whoever asks most', async () => {
    const thread = kept(new MapThread(realClock))
    const order: string[] = []
    const ask = (owner: string) => thread.decode(owner, task()).then(() => order.push(owner))
    await Promise.all(['a', 'a', 'a', 'a', 'b', 'b', 'c'].map(ask))
    // The first has its turn before the others are there.
    expect(order).toEqual(['a', 'a', 'b', 'c', 'a', 'b', 'a'])
  })

  test('refuses one namespace’s tasks when too many wait, and takes another’s', async () => {
    const thread = kept(new MapThread(realClock))
    const asked = Array.from({ length: 40 }, () => thread.decode('a', task()))
    const results = await Promise.allSettled([...asked, thread.decode('b', task())])
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(7)
    expect(results.at(-1)?.status).toBe('fulfilled')
  })

  test('is ended when a task takes too long: that one is refused, the next gets another thread', async () => {
    const clock = new FakeClock()
    const threads: { handlers: Map<string, (value: unknown) => void>; posted: unknown[]; ended: boolean }[] = []
    const thread = new MapThread(clock, () => {
      const one = { handlers: new Map<string, (value: unknown) => void>(), posted: [] as unknown[], ended: false }
      threads.push(one)
      return {
        on: (event: string, handler: (value: unknown) => void) => one.handlers.set(event, handler),
        postMessage: (message: unknown) => one.posted.push(message),
        ref: () => {},
        unref: () => {},
        terminate: async () => {
          one.ended = true
          one.handlers.get('exit')?.(1)
        },
      } as never
    })
    const slow = thread.decode('a', task())
    const next = thread.decode('b', task())
    const refused = expect(slow).rejects.toThrow(SourceMapError)
    await clock.advance(10_000)
    await refused
    expect(threads[0]!.ended).toBe(true)
    await settle()
    threads[1]!.handlers.get('message')!({ map: null })
    expect(await next).toBeNull()
    await thread.close()
    expect(threads[1]!.ended).toBe(true)
  })

  test('that runs out of memory refuses the map and goes on with the next', async () => {
    const thread = kept(
      new MapThread(realClock, () => {
        throw new Error('no thread can be had')
      }),
    )
    await expect(thread.decode('a', task())).rejects.toThrow('no thread can be had')
    await expect(thread.decode('a', task())).rejects.toThrow('no thread can be had')
  })

  test('that is closed refuses who waits', async () => {
    const thread = new MapThread(realClock)
    const waiting = thread.decode('a', task())
    const closed = thread.close()
    await expect(waiting).rejects.toThrow('closed')
    await closed
    await expect(thread.decode('a', task())).rejects.toThrow('closed')
  })
})
