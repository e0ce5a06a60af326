// Whether everything works, and how long until it does: ready, a synchronous call, an asynchronous one to its end, a deploy.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Platform } from '../support/platform.ts'
import { sentenceOf } from './answers.ts'
import { msUntil } from './session.ts'

export interface Recovery {
  readonly readyMs: number
  readonly syncMs: number
  readonly asyncMs: number
  readonly deployMs: number
}

const ASK_MS = 10_000
const WAIT_S = 5

/** Tries all four at once until each has worked. Throws when one does not within two minutes. `sources`: a folder for a source. */
export async function untilAllWorks(platform: Platform, sources: string): Promise<Recovery> {
  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    platform.request(path, { signal: AbortSignal.timeout(ASK_MS), ...init })
  const is = async (response: Response, status: number): Promise<boolean | string> => {
    const text = await response.text()
    return response.status === status || `${response.status} ${text.slice(0, 200)}`
  }
  const [readyMs, syncMs, asyncMs, deployMs] = await Promise.all([
    msUntil('/readyz answers 200', async () => await is(await ask('/readyz'), 200)),
    msUntil('a synchronous call works', async () => await is(await ask('/fn/hello'), 200)),
    msUntil('an asynchronous call comes to its end', async () => {
      const accepted = await ask('/fn/hello', { method: 'POST', headers: { prefer: 'respond-async' } })
      const location = accepted.headers.get('location')
      if (accepted.status !== 202 || location === null) return await is(accepted, 202)
      await accepted.arrayBuffer()
      return await is(await ask(`${location}/result?wait=${WAIT_S}s`), 200)
    }),
    msUntil('a deploy works', async () => (await deployNew(platform, sources)) ?? true),
  ])
  return { readyMs, syncMs, asyncMs, deployMs }
}

/** Deploys code that nobody has seen and calls it. null: it works; else what was said. */
export async function deployNew(platform: Platform, sources: string): Promise<string | null> {
  const mark = `${Math.random()}`
  const file = join(sources, 'proof.ts')
  writeFileSync(file, `export default () => new Response('${mark}')\n`)
  const { code, stderr } = await platform.fn('deploy', file)
  if (code !== 0) return `exit ${code}: ${sentenceOf(stderr, sources)}`
  const response = await platform.request('/fn/proof', { signal: AbortSignal.timeout(ASK_MS) })
  const text = await response.text()
  return text === mark ? null : `its call was answered ${response.status} ${text.slice(0, 120)}`
}

export function recoveryLine({ readyMs, syncMs, asyncMs, deployMs }: Recovery): string {
  const each = {
    '/readyz': readyMs,
    'a synchronous call': syncMs,
    'an asynchronous one': asyncMs,
    'a deploy': deployMs,
  }
  return Object.entries(each)
    .map(([what, ms]) => `${what} ${(ms / 1000).toFixed(2)} s`)
    .join(', ')
}
