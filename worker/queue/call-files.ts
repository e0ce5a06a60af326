// The files of one call on the side that runs it: its body fetched from whoever holds it, its result handed to whoever keeps
// it. Where only one process serves the queue both lie in its own folders.
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Clock, Logger } from '../../runtime/api.ts'
import type { InvocationFailure } from '../api.ts'
import type { Forgotten } from './call-texts.ts'
import type { Envelope } from './envelope.ts'
import { DurableFile, fileBytes, isDiskError, readFileStream, removeFile } from './files.ts'
import type { InvocationStore, ResultHead } from './invocation-store.ts'
import { FileError, type SharedFiles } from './shared-files.ts'

export interface FileParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly bodiesDir: string
  readonly resultsDir: string
  /** Bodies of others, for the time of an attempt. */
  readonly pulledDir: string
  /** null: no other process serves these queues. */
  readonly files: SharedFiles | null
}

/** A body as the worker gets it; `discard` when the attempt is over. */
export interface RunBody {
  readonly body: Buffer | Readable | null
  discard(): Promise<void>
}
const BODY_GONE: InvocationFailure = {
  code: 'JOB_LOST',
  component: 'queue',
  message: 'the body of the call is no longer on the disk of the state directory; send the call again',
}
const NOTHING_TO_DISCARD = async (): Promise<void> => {}
const AGAIN_MS = 500

/** `again`: it may be had later. Never rejects. */
export async function fetchBody(
  envelope: Envelope,
  parts: FileParts,
): Promise<RunBody | { readonly failure: InvocationFailure; readonly again: boolean }> {
  const { body, id } = envelope
  if (body.kind === 'none') return { body: null, discard: NOTHING_TO_DISCARD }
  if (body.kind === 'inline') return { body: Buffer.from(body.base64, 'base64'), discard: NOTHING_TO_DISCARD }
  const { holder, sha256 } = body
  if (holder === undefined || sha256 === undefined || holder === parts.files?.self) {
    if ((await fileBytes(parts.bodiesDir, id)) !== body.bytes) return { failure: BODY_GONE, again: false }
    return { body: readFileStream(parts.bodiesDir, id), discard: NOTHING_TO_DISCARD }
  }
  try {
    return await pullBody(id, holder, { bytes: body.bytes, sha256 }, parts)
  } catch (error) {
    const isGone = error instanceof FileError && error.code === 'FILE_GONE'
    const message = `the body of the call cannot be had: ${(error as Error).message}`
    return { failure: { code: 'QUEUE_UNAVAILABLE', component: 'queue', message }, again: !isGone }
  }
}

/** Whole and checked before the function sees any of it. */
async function pullBody(
  id: string,
  holder: string,
  content: { readonly bytes: number; readonly sha256: string },
  { files, pulledDir }: FileParts,
): Promise<RunBody> {
  if (files === null) throw new FileError('FILE_AWAY', `it lies with ${holder}, and this process knows no others`)
  const source = await files.open(holder, 'bodies', id, content)
  const file = await DurableFile.create(pulledDir)
  try {
    for await (const chunk of source) await file.write(chunk as Buffer)
    await file.publish(id)
  } catch (error) {
    await file.discard()
    throw error
  }
  return {
    body: readFileStream(pulledDir, id),
    discard: () => removeFile(pulledDir, id),
  }
}

/** The result as others will find it: its file with somebody who keeps files. Tries until one takes it, or `given up`. */
export async function handOver(
  result: ResultHead | null,
  envelope: Envelope,
  parts: FileParts,
  givenUp: () => boolean,
): Promise<ResultHead | null> {
  const { files, resultsDir, clock, logger } = parts
  if (result === null || result.file === null || files === null) return result
  if (files.keeps) return { ...result, holder: files.self }
  const preferred = envelope.body.kind === 'file' ? (envelope.body.holder ?? null) : null
  const content = { bytes: result.bodyBytes, sha256: result.sha256 ?? '' }
  let isSaid = false
  while (!givenUp()) {
    try {
      const holder = await files.give('results', result.file, join(resultsDir, result.file), content, preferred)
      await removeFile(resultsDir, result.file)
      return { ...result, holder }
    } catch (error) {
      if (isDiskError(error)) throw error
      const fields = { id: envelope.id, reason: (error as Error).message }
      if (isSaid) logger.debug(fields, 'nobody takes a result; again')
      else logger.warn(fields, 'nobody takes a result; it is offered until somebody does')
      isSaid = true
      await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve))
    }
  }
  await removeFile(resultsDir, result.file)
  return null
}

/** The call is over: its body is needed no more. A body that lies elsewhere is its holder's to remove. */
export async function removeBody(envelope: Envelope, { bodiesDir, files }: FileParts): Promise<void> {
  const { body, id } = envelope
  if (body.kind !== 'file') return
  if (body.holder === undefined || files === null || body.holder === files.self) await removeFile(bodiesDir, id)
  else await files.remove(body.holder, 'bodies', id)
}

/** Never rejects. */
export async function forgetResult(id: string, parts: FileParts & { readonly store: InvocationStore }): Promise<void> {
  const result = await parts.store.result(id).catch(() => null)
  if (result === null) return
  await parts.store.forgetResult(id).catch(() => {})
  await removeResult(result, parts)
}

export async function removeResult(result: ResultHead, { resultsDir, files }: FileParts): Promise<void> {
  const { file, holder } = result
  if (file === null) return
  if (holder === undefined || files === null || holder === files.self) await removeFile(resultsDir, file)
  else await files.remove(holder, 'results', file)
}

/** Files of kept calls that were forgotten for newer ones. Those that lie with others go with a sweep of theirs. */
export function removeForgotten(
  { bodies, results }: Forgotten,
  { bodiesDir, resultsDir }: Pick<FileParts, 'bodiesDir' | 'resultsDir'>,
): void {
  for (const name of bodies) void removeFile(bodiesDir, name)
  for (const name of results) void removeFile(resultsDir, name)
}
