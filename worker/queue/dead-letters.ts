// Dead letters as the lane offers them: list, show, redrive, purge.
import { type Clock, Turns } from '../../runtime/api.ts'
import type { InvocationRecord } from '../api.ts'
import { type DeadLetter, type DeadLetters, QueueError } from './api.ts'
import type { DeadLetterStore, StoredDeadLetter } from './dead-letter-store.ts'
import { bodyBytesOf, redrivenEnvelope } from './envelope.ts'
import { removeFile } from './files.ts'
import { requeuedRecord } from './records.ts'

export interface DeadLetterParts {
  readonly store: DeadLetterStore
  readonly clock: Clock
  readonly bodiesDir: string
  /** Turns trouble with Redis into QueueErrors; refuses while draining when `changing`. */
  guard<T>(ask: () => Promise<T>, changing: boolean): Promise<T>
  /** The queue has a call that is due. */
  queued(queueKey: string): void
}

/** Moved or removed at once; each is in memory with its body meanwhile. */
const BATCH = 20

export function createDeadLetters(parts: DeadLetterParts): DeadLetters {
  const { store, guard } = parts
  /** Of a namespace all letters of one function are moved or removed at a time. */
  const turns = new Turns()
  return {
    list: (namespace, name, page) =>
      guard(async () => {
        return await store.list(keyOf(namespace, name), page.limit, page.after ?? null, shown)
      }, false),
    show: (namespace, name, id) => guard(async () => shown(await find(keyOf(namespace, name), id, parts)), false),
    redrive: (namespace, name, id) =>
      guard(async () => {
        const queueKey = keyOf(namespace, name)
        const record = await redrive(queueKey, await find(queueKey, id, parts), parts)
        if (record === null) throw notFound(queueKey, id)
        return record
      }, true),
    redriveAll: (namespace, name) =>
      guard(() => {
        const queueKey = keyOf(namespace, name)
        const work = async (letter: StoredDeadLetter) =>
          letter.entry.envelope !== null && (await redrive(queueKey, letter, parts)) !== null
        return turns.take(namespace, () => forAll(queueKey, parts, work))
      }, true),
    purge: (namespace, name, id) =>
      guard(async () => {
        const queueKey = keyOf(namespace, name)
        const work = (letter: StoredDeadLetter) => purge(queueKey, letter.id, parts)
        if (id === undefined) return await turns.take(namespace, () => forAll(queueKey, parts, work))
        if (!(await purge(queueKey, id, parts))) throw notFound(queueKey, id)
        return 1
      }, false),
  }
}

/** Every letter that is there now, newest first; those that fail again meanwhile are not met twice. */
async function forAll(
  queueKey: string,
  { store }: DeadLetterParts,
  work: (letter: StoredDeadLetter) => Promise<boolean>,
): Promise<number> {
  let count = 0
  let after: string | null = null
  for (;;) {
    const letters: StoredDeadLetter[] = await store.list(queueKey, BATCH, after, (letter) => letter)
    const done = await Promise.all(letters.map(work))
    count += done.filter(Boolean).length
    if (letters.length < BATCH) return count
    after = letters.at(-1)!.id
  }
}

async function redrive(
  queueKey: string,
  letter: StoredDeadLetter,
  parts: DeadLetterParts,
): Promise<InvocationRecord | null> {
  const { store, clock, queued } = parts
  const { attempt, envelope: dead } = letter.entry
  if (dead === null) throw notRedrivable(letter.id)
  const envelope = redrivenEnvelope(dead, attempt, clock.now())
  const record = requeuedRecord(envelope, attempt, null, null)
  const keepMs = envelope.expiresAtMs - clock.now() + 2 * store.keptMs
  if (!(await store.redrive(queueKey, letter, record, envelope, keepMs, clock.now()))) return null
  queued(queueKey)
  return record
}

async function purge(queueKey: string, id: string, { store, bodiesDir }: DeadLetterParts): Promise<boolean> {
  if (!(await store.purge(queueKey, id))) return false
  await removeFile(bodiesDir, id)
  return true
}

async function find(queueKey: string, id: string, { store }: DeadLetterParts): Promise<StoredDeadLetter> {
  const letter = await store.get(queueKey, id)
  if (letter === null) throw notFound(queueKey, id)
  return letter
}

function shown(letter: StoredDeadLetter): DeadLetter {
  const { id, entry, attempts } = letter
  const { envelope, state, diedAtMs } = entry
  if (envelope === null) {
    const { namespace, function: name, version, createdAt } = entry.record
    const died = { diedAt: new Date(diedAtMs).toISOString(), attempts }
    return {
      id,
      namespace,
      function: name,
      version,
      state,
      method: null,
      target: null,
      bodyBytes: 0,
      createdAt,
      ...died,
    }
  }
  const { version, method, target } = envelope
  return {
    id,
    namespace: version.namespace,
    function: version.name,
    version: version.version,
    state,
    method,
    target,
    bodyBytes: bodyBytesOf(envelope),
    createdAt: new Date(envelope.acceptedAtMs).toISOString(),
    diedAt: new Date(diedAtMs).toISOString(),
    attempts,
  }
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`
}

function notRedrivable(id: string): QueueError {
  const message = `the queue lost the request of ${id}, so that nothing is left to run; send the call again`
  return new QueueError('NOT_REDRIVABLE', message)
}

function notFound(queueKey: string, id: string): QueueError {
  return new QueueError('DEAD_LETTER_NOT_FOUND', `no dead letter ${id.slice(0, 80)} of ${queueKey}`)
}
