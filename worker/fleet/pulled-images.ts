// The image store of a process of the fleet: what it lacks it takes from others that have it, once for all who ask.
import type { ImageStore, StoredImage } from '../../runtime/api.ts'
import { RuntimeError } from '../../runtime/api.ts'
import type { FleetFiles } from './file-client.ts'

/** `images` as it is, but `get` looks elsewhere for what is not here. */
export function pulledImages(images: ImageStore, files: Pick<FleetFiles, 'blob'>): ImageStore {
  const pulls = new Map<string, Promise<void>>()
  const pull = (digest: string): Promise<void> => {
    const running = pulls.get(digest) ?? images.adopt(digest, (blob) => files.blob(blob))
    pulls.set(digest, running)
    return running.finally(() => pulls.delete(digest))
  }
  return {
    put: (parts) => images.put(parts),
    has: (digest) => images.has(digest),
    bytesOf: (digest) => images.bytesOf(digest),
    leftBytes: () => images.leftBytes(),
    adopt: (digest, read) => images.adopt(digest, read),
    blobFile: (digest) => images.blobFile(digest),
    prune: (keep) => images.prune(keep),
    remove: (digests) => images.remove(digests),
    forgetAnnotation: (key) => images.forgetAnnotation(key),
    readAnnotation: (key) => images.readAnnotation(key),
    async get(digest): Promise<StoredImage> {
      if (!images.has(digest)) {
        try {
          await pull(digest)
        } catch (error) {
          if (error instanceof RuntimeError) throw error
          const reason = (error as Error).message
          throw new RuntimeError('IMAGE_NOT_FOUND', `image ${digest} is not here and cannot be fetched: ${reason}`, {
            cause: error,
          })
        }
      }
      return await images.get(digest)
    },
  }
}
