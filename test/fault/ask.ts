// Asks the platform, when faults are over, what became of every call: record, result, dead letters, list, journal.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fate, Submitted } from './account.ts'
import { bodyOf } from './clients.ts'
import type { Asked } from './house.ts'
import { parseJournal, type Run } from './journal.ts'

const OPEN = new Set(['queued', 'running'])
const AT_ONCE = 8
const PAGE = 1000
const ANSWER_MS = 30_000

/** Waits until every acknowledged call has ended, or none has for `ms`, then asks for all of them. */
export async function askFates(house: Asked, submitted: readonly Submitted[], ms: number): Promise<Map<string, Fate>> {
  const fates = new Map<string, Fate>()
  let deadline = performance.now() + ms
  let open = submitted.flatMap((one) => one.ids.map((id) => ({ id, one })))
  for (;;) {
    const states = await mapSome(open, async ({ id }) => await stateOf(house, id))
    const over = performance.now() > deadline
    const ended = open.filter((_, index) => over || !OPEN.has(states[index] ?? ''))
    await mapSome(ended, async ({ id, one }) => {
      fates.set(id, await fateOf(house, id, one))
    })
    open = open.filter(({ id }) => !fates.has(id))
    if (ended.length > 0) deadline = performance.now() + ms
    if (open.length === 0) return fates
    await sleep(200)
  }
}

/** A machine that is busy with other things may be late with one answer; nothing is struck any more. */
async function ask(house: Asked, path: string, tries = 5): Promise<Response> {
  try {
    return await house.request(path, {}, ANSWER_MS)
  } catch (error) {
    if (tries <= 1) throw error
    return await ask(house, path, tries - 1)
  }
}

async function stateOf(house: Asked, id: string): Promise<string | null> {
  const response = await ask(house, `/v1/invocations/${id}`)
  const record = (await response.json()) as { state?: string }
  if (response.status === 404) return null
  if (!response.ok) throw new Error(`GET /v1/invocations/${id}: ${response.status} ${JSON.stringify(record)}`)
  return record.state ?? null
}

async function fateOf(house: Asked, id: string, { call }: Submitted): Promise<Fate> {
  const response = await ask(house, `/v1/invocations/${id}`)
  const record = (await response.json()) as { state?: string; function?: string; attempt?: number; error?: object }
  if (response.status === 404) return { state: null, deadLetter: false, resultRight: false }
  const state = record.state ?? null
  if (state === 'succeeded') {
    const result = await ask(house, `/v1/invocations/${id}/result`)
    const text = await result.text()
    return { state, deadLetter: false, resultRight: result.status === 200 && text === `${call.key} ${bodyOf(call)}` }
  }
  const letter = await ask(house, `/v1/functions/${record.function}/dead-letters/${id}`)
  await letter.arrayBuffer()
  const why = `attempt ${record.attempt}, ${JSON.stringify(record.error)}`
  return { state, deadLetter: letter.status === 200, resultRight: true, why }
}

/** Ids of all records, or of those of one function. */
export async function askList(house: Asked, name?: string): Promise<string[]> {
  const ids: string[] = []
  const only = name === undefined ? '' : `&function=${name}`
  for (let path: string | null = `/v1/invocations?limit=${PAGE}${only}`; path !== null; ) {
    const response = await ask(house, path)
    ids.push(...((await response.json()) as { id: string }[]).map(({ id }) => id))
    path = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1] ?? null
  }
  return ids
}

/** Ids of calls that are not over, once none has been for `ms`: those of clients who were refused end as well. */
export async function askOpen(house: Asked, ms: number): Promise<string[]> {
  const deadline = performance.now() + ms
  for (;;) {
    const open: string[] = []
    for (const state of OPEN) {
      const response = await ask(house, `/v1/invocations?limit=${PAGE}&state=${state}`)
      open.push(...((await response.json()) as { id: string }[]).map(({ id }) => id))
    }
    if (open.length === 0 || performance.now() > deadline) return open
    await sleep(500)
  }
}

/** All runs that the function wrote down. */
export async function askJournal(house: Asked, name: string): Promise<Run[]> {
  const response = await ask(house, `/fn/${name}`)
  if (response.status !== 200) throw new Error(`the journal: ${response.status} ${await response.text()}`)
  return parseJournal(await response.text())
}

async function mapSome<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length)
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index]!)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return results
}
