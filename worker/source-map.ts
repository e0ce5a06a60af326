// Turns positions in a bundle (`/code/hello.js:812:5`) into the author's own (`hello.ts:3:9`). Parses a map only when some text
// holds such a position.
import { SourceMap, type SourceMapPayload } from 'node:module'

const POSITION = /(?:file:\/\/)?\/code\/([\w.@+-]+\.js):(\d+):(\d+)/g

/** Where the platform's own frames begin in a stack from inside. */
const PLATFORM_FRAME = /\n\s+at [^\n]*\/runtime\/bootstrap\.cjs:.*$/s

/** A stack without the frames of the platform that called the handler. */
export function ownFrames(stack: string): string {
  return stack.replace(PLATFORM_FRAME, '')
}

/** Maps of one version. */
export class SourcePositions {
  #json: Buffer | null
  #map: SourceMap | null = null

  /** `json` is a source map of version 3, or null for none: texts then stay as they are. */
  constructor(json: Buffer | null) {
    this.#json = json
  }

  /** The text with every position that the map knows replaced. Never throws. */
  apply(text: string): string {
    if (!text.includes('/code/')) return text
    const map = this.#load()
    if (map === null) return text
    return text.replace(POSITION, (whole, _file: string, line: string, column: string) => {
      const entry = map.findEntry(Number(line) - 1, Number(column) - 1)
      if (!('originalSource' in entry) || entry.originalSource === undefined) return whole
      return `${entry.originalSource}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
    })
  }

  #load(): SourceMap | null {
    const json = this.#json
    this.#json = null
    if (json === null) return this.#map
    try {
      this.#map = new SourceMap(JSON.parse(json.toString('utf8')) as SourceMapPayload)
    } catch {
      // A map that does not parse is as good as none.
    }
    return this.#map
  }
}
