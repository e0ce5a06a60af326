// What layers above may know and ask of volumes; part of the border runtime/api.ts.

/** A volume in a sandbox, at the absolute path `path`. `id` of a named one: `scope/name`, see `VolumeStore`. */
export type VolumeMount =
  | { readonly kind: 'named'; readonly id: string; readonly path: string; readonly readOnly: boolean }
  | { readonly kind: 'bind'; readonly source: string; readonly path: string; readonly readOnly: boolean }
  | { readonly kind: 'tmpfs'; readonly path: string; readonly sizeBytes: number }

/** A named volume: a bounded file system that outlives sandboxes and platforms. */
export interface Volume {
  /** `scope/name`, two DNS labels. */
  readonly id: string
  readonly sizeBytes: number
  /** What it takes of the host's disk now. */
  readonly usedBytes: number
  readonly createdAtMs: number
}

/** Named volumes of this state directory, and what may be bound from the host. */
export interface VolumeStore {
  /** Makes a volume, or finds it with that size. Throws RuntimeError `VOLUME_EXISTS` (with another size) | `VOLUME_INVALID` |
   *  `DISK_FULL`. */
  create(id: string, sizeBytes: number): Promise<{ readonly volume: Volume; readonly created: boolean }>
  /** Sizes of the volumes of a scope together; from memory. */
  sizeIn(scope: string): number
  /** Those of a scope, or all; sorted by id. */
  list(scope?: string): Promise<Volume[]>
  get(id: string): Promise<Volume | null>
  /** Throws RuntimeError `VOLUME_NOT_FOUND` | `VOLUME_IN_USE` (a sandbox has it). Its content is gone for good. */
  remove(id: string): Promise<void>
  /** Throws RuntimeError `VOLUME_INVALID` unless this folder of the host may be bound (writable where `readOnly` is false). */
  checkBind(source: string, readOnly: boolean): Promise<void>
}
