// Entry of the layer thread: takes tasks one after another and answers with data. Everything it does is in layer-blobs.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { type LayerFolders, loadCode, storeAddOn, storeCode, unpackLayer } from './layer-blobs.ts'
import type { LayerAnswers, LayerReply, LayerTask } from './layer-thread.ts'

const folders = workerData as LayerFolders
let last: Promise<void> = Promise.resolve()

parentPort?.on('message', ({ id, task }: { id: number; task: LayerTask }) => {
  last = last.then(async () => parentPort?.postMessage(await reply(id, task)))
})

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
      return storeAddOn(folders, task.tarPath)
    case 'unpack-layer':
      await unpackLayer(folders, task.digest)
      return undefined
  }
}
