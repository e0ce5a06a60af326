// A map thread that decodes when a test says so.
import { decodeMap } from '../../worker/source-maps/decode-map.ts'
import type { DecodedMap } from '../../worker/source-maps/decoded-map.ts'
import type { MapTask } from '../../worker/source-maps/map-thread.ts'

export class ThreadByHand {
  readonly asked: { readonly owner: string; readonly go: () => Promise<void> }[] = []

  decode(owner: string, task: () => Promise<MapTask>): Promise<DecodedMap | null> {
    return new Promise((resolve, reject) => {
      const go = async () => {
        try {
          const { map, bundleBytes } = await task()
          resolve(decodeMap(map, bundleBytes))
        } catch (error) {
          reject(error as Error)
        }
      }
      this.asked.push({ owner, go })
    })
  }

  async close(): Promise<void> {}
}
