// Answers what callers ask of accepted calls: record, list, result. Reads only; a call that has not ended is waited for.
import type { Clock } from '../../runtime/api.ts'
import type { InvocationRecord } from '../api.ts'
import { QueueError, type StoredResult } from './api.ts'
import { fileBytes, readFileStream } from './files.ts'
import type { InvocationStore, ResultHead } from './invocation-store.ts'
import { isOpen } from './records.ts'
import { FileError, type SharedFiles } from './shared-files.ts'
import { asking, unavailable } from './unavailable.ts'
import type { Waiters } from './waiters.ts'

export interface InquiryParts {
  readonly store: InvocationStore
  readonly waiters: Waiters
  readonly clock: Clock
  readonly resultsDir: string
  readonly files: SharedFiles | null
}

const RECHECK_MS = 10_000

/** Waits up to `waitMs` for the end. Throws QueueError INVOCATION_NOT_FOUND | QUEUE_UNAVAILABLE. */
export async function askResult(
  id: string,
  waitMs: number,
  parts: InquiryParts,
): Promise<{ readonly pending: boolean; readonly record: InvocationRecord; readonly result: StoredResult | null }> {
  const { store, waiters, clock } = parts
  const deadline = clock.monotonicMs() + waitMs
  for (;;) {
    const leftMs = deadline - clock.monotonicMs()
    // ORDER: wait first, look then: the end may come between.
    const waiting = waiters.wait(id, Math.max(0, Math.min(leftMs, RECHECK_MS)))
    try {
      const record = await known(id, store)
      if (!isOpen(record.state)) {
        const head = await asking(() => store.result(id))
        return { pending: false, record, result: head === null ? null : await stored(head, parts) }
      }
      if (leftMs <= 0) return { pending: true, record, result: null }
      await waiting.news
    } finally {
      waiting.stop()
    }
  }
}

async function known(id: string, store: InvocationStore): Promise<InvocationRecord> {
  const record = await asking(() => store.record(id))
  if (record === null) throw new QueueError('INVOCATION_NOT_FOUND', `no asynchronous invocation ${id.slice(0, 80)}`)
  return record
}

async function stored(head: ResultHead, parts: InquiryParts): Promise<StoredResult | null> {
  const { status, headers, bodyBytes, base64, file, holder } = head
  const { resultsDir, files } = parts
  if (file === null) return { status, headers, bodyBytes, body: Buffer.from(base64 ?? '', 'base64') }
  if (holder !== undefined && holder !== files?.self) return await storedElsewhere(head, file, holder, files)
  if ((await fileBytes(resultsDir, file)) !== bodyBytes) return null
  return { status, headers, bodyBytes, body: readFileStream(resultsDir, file) }
}

async function storedElsewhere(
  { status, headers, bodyBytes, sha256 = '' }: ResultHead,
  file: string,
  holder: string,
  files: SharedFiles | null,
): Promise<StoredResult | null> {
  try {
    if (files === null) throw new FileError('FILE_AWAY', 'this process knows no others')
    const body = await files.open(holder, 'results', file, { bytes: bodyBytes, sha256 })
    return { status, headers, bodyBytes, body }
  } catch (error) {
    if (error instanceof FileError && error.code === 'FILE_GONE') return null
    throw unavailable(new Error(`the result lies with ${holder}: ${(error as Error).message}`, { cause: error }))
  }
}
