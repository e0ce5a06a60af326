// Named volumes of a namespace against its quota: what counts is their size, for all of it may be written some day. The scratch
// disks of its sandboxes are added (worker/pool/).
import { Turns, type Volume, type VolumeStore } from '../../runtime/api.ts'
import type { Quotas } from './quotas.ts'

export class VolumeQuota {
  readonly #store: VolumeStore
  readonly #quotas: Quotas | null
  /** Of each namespace one is made at a time, so that several do not slip past its bound together. */
  readonly #turns = new Turns()

  /** Reports what is in use. */
  constructor(store: VolumeStore, quotas: Quotas | null) {
    this.#store = store
    this.#quotas = quotas
    quotas?.reportPart('volumesBytes', (namespace) => store.sizeIn(namespace))
  }

  /** As `VolumeStore.create`. Throws QuotaExceeded too. */
  create(
    namespace: string,
    name: string,
    bytes: number,
  ): Promise<{ readonly volume: Volume; readonly created: boolean }> {
    const id = `${namespace}/${name}`
    return this.#turns.take(namespace, async () => {
      if ((await this.#store.get(id)) === null)
        this.#quotas?.expect(namespace, 'volumesBytes', this.#quotas.partsOf(namespace, 'volumesBytes'), bytes)
      return await this.#store.create(id, bytes)
    })
  }
}
