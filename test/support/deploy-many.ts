// Many small functions over HTTP, each of other content than the next: what density tests and benches fill a platform with.
// Knows the deploy format of `PUT /v1/functions/{name}` (a tar of fn.json and index.cjs) and nothing of the command line.
import { buffer } from 'node:stream/consumers'
import { packTar } from 'modern-tar/fs'
import type { Platform } from './platform.ts'

export interface ManyOptions {
  /** The first one's number; default 0. */
  readonly from?: number
  /** Deploys up to `many-<count - 1>`. */
  readonly count: number
  /** Deploys at once. */
  readonly parallel: number
  /** Laid over each function's `fn.json`. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Called after each deploy with how many there are. */
  readonly onDeployed?: (done: number) => void
}

/** The name of the n-th function. */
export function manyName(n: number): string {
  return `many-${n}`
}

/** What the n-th function answers. */
export function manyAnswer(n: number): string {
  return `I am function ${n}\n`
}

/** Deploys `many-<from>` to `many-<count - 1>`. Throws with the platform's answer when one is refused. */
export async function deployMany(platform: Platform, options: ManyOptions): Promise<void> {
  let next = options.from ?? 0
  let done = 0
  const work = async (): Promise<void> => {
    for (let n = next++; n < options.count; n = next++) {
      await deployOne(platform, n, options.settings ?? {})
      options.onDeployed?.(++done)
    }
  }
  await Promise.all(Array.from({ length: options.parallel }, work))
}

async function deployOne(platform: Platform, n: number, settings: Readonly<Record<string, unknown>>): Promise<void> {
  const name = manyName(n)
  const manifest = { ...settings, name, entry: `${name}.ts`, form: 'web' }
  const source = `exports.default = { fetch: () => new Response(${JSON.stringify(manyAnswer(n))}) }\n`
  const tar = packTar([
    { type: 'content', target: 'fn.json', content: JSON.stringify(manifest) },
    { type: 'content', target: 'index.cjs', content: source },
  ])
  await platform.json(`/v1/functions/${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/x-tar' },
    body: await buffer(tar),
  })
}
