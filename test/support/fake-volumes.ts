// Volumes without a disk.
import type { Volume, VolumeStore } from '../../runtime/api.ts'

/** Named volumes in memory; any folder of the host may be bound. */
export class FakeVolumes implements VolumeStore {
  readonly stored = new Map<string, Volume>()

  async create(id: string, sizeBytes: number) {
    const known = this.stored.get(id)
    const volume = known ?? { id, sizeBytes, usedBytes: 0, createdAtMs: 0 }
    this.stored.set(id, volume)
    return { volume, created: known === undefined }
  }

  sizeIn(scope: string): number {
    let sum = 0
    for (const { id, sizeBytes } of this.stored.values()) if (id.startsWith(`${scope}/`)) sum += sizeBytes
    return sum
  }

  async list(): Promise<Volume[]> {
    return [...this.stored.values()]
  }

  async get(id: string): Promise<Volume | null> {
    return this.stored.get(id) ?? null
  }

  async remove(id: string): Promise<void> {
    this.stored.delete(id)
  }

  async checkBind(): Promise<void> {}
}
