// Entry of the map thread: decodes one map a message and answers with data. Everything it does is in decode-map.ts.
import { parentPort } from 'node:worker_threads'
import { decodeMap } from './decode-map.ts'
import type { DecodedMap } from './decoded-map.ts'
import type { MapReply, MapTask } from './map-thread.ts'

parentPort?.on('message', (task: MapTask) => {
  const reply = replyTo(task)
  const map = 'map' in reply ? reply.map : null
  parentPort?.postMessage(reply, map === null ? [] : buffersOf(map))
})

function replyTo({ map, bundleBytes, wanted }: MapTask): MapReply {
  try {
    const decoded = decodeMap(map, bundleBytes)
    return { map: wanted ? decoded : null }
  } catch (error) {
    return { problem: (error as Error).message }
  }
}

function buffersOf({ starts, generatedColumns, sourceIndexes, lines, columns }: DecodedMap): ArrayBuffer[] {
  return [starts, generatedColumns, sourceIndexes, lines, columns].map((array) => array.buffer as ArrayBuffer)
}
