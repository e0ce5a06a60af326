// Entry of the layer thread: takes tasks one after another and answers with data. Everything it does is in layer-blobs.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { type LayerFolders, loadCode, storeAddOn, storeCode, unpackLayer } from './layer-blobs.ts'
import type { LayerAnswers, LayerReply, LayerTask } from './layer-thread.ts'

const folders = workerData as LayerFolders
let last: Promise<void> = Promise.resolve()

parentPort?.on('message', ({ id, task }: { id: number; task: LayerTask }) => {
  last = last.then(async () => {
    const answered = await reply(id, task)
    parentPort?.postMessage(answered, 'answer' in answered ? largeBuffersOf(answered.answer) : [])
  })
})

/** Smaller ones may lie in a buffer that others share. */
const LARGE_BYTES = 1024 ** 2

/** What is handed over rather than copied: the event loop would stand for the copy of a large bundle. */
function largeBuffersOf(answer: LayerAnswers[LayerTask['kind']]): ArrayBuffer[] {
  if (answer === undefined || !('source' in answer)) return []
  const buffers = [answer.source, answer.map].flatMap((bytes) => (bytes === null ? [] : [bytes.buffer]))
  return [...new Set(buffers)].filter(
    (buffer): buffer is ArrayBuffer => buffer instanceof ArrayBuffer && buffer.byteLength >= LARGE_BYTES,
  )
}

async function reply(id: number, task: LayerTask): Promise<LayerReply> {
  try {
    return { id, answer: await perform(task) }
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    return { id, failure: { code, message } }
  }
}

async function perform(task: LayerTask): Promise<LayerAnswers[LayerTask['kind']]> {
  switch (task.kind) {
    case 'store-code':
      return storeCode(folders, task.source, task.map)
    case 'load-code':
      return loadCode(folders, task.digest)
    case 'store-add-on':
      return storeAddOn(folders, task.tarPath, task.roomBytes)
    case 'unpack-layer':
      await unpackLayer(folders, task.digest)
      return undefined
  }
}
