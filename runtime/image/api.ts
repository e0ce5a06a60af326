// What layers above may know and ask of images; part of the border runtime/api.ts.
import type { Readable } from 'node:stream'

/** A function's files as the store keeps them. */
export interface StoredImage {
  /** Digest of the OCI manifest. */
  readonly digest: string
  /** Add-on layers above the base (native add-ons and their dependencies), lowest first, unpacked and ready to mount. */
  readonly layers: readonly string[]
  readonly source: Buffer
  readonly sourceMap: Buffer | null
  /** The configuration blob as given to `put`. */
  readonly config: unknown
}

export interface ImageParts {
  readonly source: Buffer
  readonly sourceMap: Buffer | null
  /** Path of a tar file whose members lie under `node_modules/`; becomes a layer at `/code/node_modules`. */
  readonly addonTar: string | null
  /** Anything JSON; part of the identity. */
  readonly config: unknown
}

/** OCI image layout on disk: content-addressed, written by temporary file + fsync + rename + fsync of the folder. */
export interface ImageStore {
  /** Same parts, same digest. Throws RuntimeError `IMAGE_INVALID` (bad tar) | `DISK_FULL`. */
  put(parts: ImageParts): Promise<{ readonly digest: string }>
  /** Verifies digests, unpacks layers where needed; cached. Throws RuntimeError `IMAGE_NOT_FOUND` | `IMAGE_CORRUPT`. */
  get(digest: string): Promise<StoredImage>
  /** Whether the image is here whole. */
  has(digest: string): boolean
  /** What the image takes on the disk, by blob, with what is unpacked of it; empty for one that is not here. */
  bytesOf(digest: string): readonly { readonly blob: string; readonly bytes: number }[]
  /** What images may still take of the disk: beyond it lies what is kept for the platform and promised to volumes. */
  leftBytes(): number
  /** Takes in an image of another store: asks `read` for its blobs one by one, manifest first, and checks each digest. Does
   *  nothing for one that is here. Throws RuntimeError `IMAGE_CORRUPT` | `DISK_FULL`, and what `read` throws. */
  adopt(digest: string, read: (blob: string) => Promise<Readable>): Promise<void>
  /** Path of a blob's file, for whoever adopts it; it may not be there. */
  blobFile(digest: string): string
  /** Forgets images, with blobs and layers that no other uses. */
  remove(digests: readonly string[]): Promise<void>
  /** Forgets every image whose digest is not in `keep`, with blobs and layers that no image uses, those a crash left included. */
  prune(keep: ReadonlySet<string>): Promise<{ readonly removed: number; readonly bytes: number }>
  /** What an earlier release kept in the layout's `index.json` besides the images; null: nothing. */
  readAnnotation(key: string): Promise<string | null>
  forgetAnnotation(key: string): Promise<void>
}
