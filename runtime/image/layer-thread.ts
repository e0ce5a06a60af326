// A thread in which layers are hashed, packed and unpacked, so that the event loop of calls never waits for them.
// Starts on first use, takes one task after another, does not keep the process alive.
import { Worker } from 'node:worker_threads'
import { RuntimeError, type RuntimeErrorCode } from '../errors.ts'
import type { StoredBlob } from './image-index.ts'
import type { LayerFolders } from './layer-blobs.ts'
import type { Blob } from './manifest.ts'

/** What the thread can be asked. */
export type LayerTask =
  | { readonly kind: 'store-code'; readonly source: Uint8Array; readonly map: Uint8Array | null }
  | { readonly kind: 'load-code'; readonly digest: string }
  | { readonly kind: 'store-add-on'; readonly tarPath: string; readonly roomBytes: number }
  | { readonly kind: 'unpack-layer'; readonly digest: string }

/** What it answers. */
export interface LayerAnswers {
  'store-code': Blob
  'load-code': { readonly source: Uint8Array; readonly map: Uint8Array | null }
  'store-add-on': StoredBlob
  'unpack-layer': undefined
}

/** A failure as data, since an error loses its class on the way. */
export interface TaskFailure {
  readonly code: string
  readonly message: string
}

export type LayerReply =
  | { readonly id: number; readonly answer: LayerAnswers[keyof LayerAnswers] }
  | { readonly id: number; readonly failure: TaskFailure }

export interface LayerThread {
  /** Rejects with the RuntimeError of the task. */
  ask<T extends LayerTask>(task: T): Promise<LayerAnswers[T['kind']]>
  close(): Promise<void>
}

interface Waiting {
  resolve(answer: never): void
  reject(error: Error): void
}

export function createLayerThread(folders: LayerFolders): LayerThread {
  const waiting = new Map<number, Waiting>()
  let worker: Worker | null = null
  let lastId = 0
  const failAll = (error: Error) => {
    worker = null
    for (const one of waiting.values()) one.reject(error)
    waiting.clear()
  }
  const start = (): Worker => {
    const started = new Worker(new URL('./layer-worker.ts', import.meta.url), { workerData: folders, execArgv: [] })
    started.on('message', (reply: LayerReply) => {
      const one = waiting.get(reply.id)
      waiting.delete(reply.id)
      if (waiting.size === 0) started.unref()
      if ('failure' in reply) one?.reject(toError(reply.failure))
      else one?.resolve(reply.answer as never)
    })
    started.on('error', (error) => failAll(error))
    started.on('exit', () => failAll(new Error('the layer thread ended')))
    return started
  }
  return {
    ask: (task) =>
      new Promise((resolve, reject) => {
        const id = ++lastId
        waiting.set(id, { resolve, reject })
        worker ??= start()
        worker.ref()
        worker.postMessage({ id, task })
      }),
    close: async () => {
      await worker?.terminate()
    },
  }
}

const RUNTIME_CODES: ReadonlySet<string> = new Set<RuntimeErrorCode>([
  'IMAGE_INVALID',
  'IMAGE_CORRUPT',
  'IMAGE_NOT_FOUND',
])

function toError(failure: TaskFailure): Error {
  if (RUNTIME_CODES.has(failure.code)) return new RuntimeError(failure.code as RuntimeErrorCode, failure.message)
  if (failure.code === 'ENOSPC' || failure.code === 'EDQUOT') {
    return new RuntimeError('DISK_FULL', `no space left for an image; free some space on the state directory's disk`)
  }
  if (failure.code === 'ENOENT') return new RuntimeError('IMAGE_CORRUPT', `a blob is missing: ${failure.message}`)
  return new Error(failure.message)
}
