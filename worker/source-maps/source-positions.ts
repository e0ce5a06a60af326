// Turns positions in a bundle (`/code/hello.js:812:5`) into the author's own (`hello.ts:3:9`). Reads a map only when some text holds
// such a position. The text and the map are hostile: look-ups and what they make of a text are bounded.
import { type BucketRate, type Clock, TokenBucket } from '../../runtime/api.ts'
import { type DecodedMap, positionIn } from './decoded-map.ts'
import type { MapKey, SourceMaps } from './source-maps.ts'

const POSITION = /(?:file:\/\/)?\/code\/([\w.@+-]{1,255}\.js):(\d{1,10}):(\d{1,10})(?!\d)/g
/** Positions looked up in one text: a stack has ten frames, at most some hundred. */
const MOST_IN_TEXT = 100
/** What a text may grow by. */
const MOST_GROWTH_CHARS = 16 * 1024
/** Look-ups of one version. */
const RATE: BucketRate = { perSecond: 2000, capacity: 2000 }

/** Positions of one version. */
export class SourcePositions {
  readonly #maps: Pick<SourceMaps, 'get'> | null
  readonly #key: MapKey
  readonly #clock: Clock
  readonly #bucket: TokenBucket
  #leftOut = 0

  /** `maps` is null when the version has no map: texts then stay as they are. */
  constructor(maps: Pick<SourceMaps, 'get'> | null, key: MapKey, clock: Clock) {
    this.#maps = maps
    this.#key = key
    this.#clock = clock
    this.#bucket = new TokenBucket(RATE, clock.monotonicMs())
  }

  /** The text with every position that the map knows replaced; a promise only when the map has to be decoded first. Neither throws
   *  nor rejects. */
  apply(text: string): string | Promise<string> {
    if (this.#maps === null || !text.includes('/code/') || text.search(POSITION) < 0) return text
    const map = this.#maps.get(this.#key)
    if (map === null) return text
    return map instanceof Promise ? map.then((found) => this.#replace(text, found)) : this.#replace(text, map)
  }

  /** Positions left as they were since the last time it was asked, because there were too many. */
  takeLeftOut(): number {
    const count = this.#leftOut
    this.#leftOut = 0
    return count
  }

  #replace(text: string, map: DecodedMap | null): string {
    if (map === null) return text
    const nowMs = this.#clock.monotonicMs()
    const most = Math.min(MOST_IN_TEXT, Math.floor(this.#bucket.left(RATE, nowMs)))
    let left = most
    let room = MOST_GROWTH_CHARS
    const mapped = text.replace(POSITION, (whole, _file: string, line: string, column: string) => {
      if (left <= 0 || room <= 0) {
        this.#leftOut++
        return whole
      }
      left--
      const found = positionIn(map, Number(line), Number(column))
      if (found === null) return whole
      const own = `${found.source}:${found.line}:${found.column}`
      room -= Math.max(0, own.length - whole.length)
      return own
    })
    this.#bucket.take(most - left, RATE, nowMs)
    return mapped
  }
}
