// Every process that keeps files comes to have every image in use, so that no image depends on the one that took its deploy. In the
// background, one at a time; what cannot be had now is asked for again now and then.
import type { Clock, ImageStore, Logger } from '../../runtime/api.ts'
import type { Registry } from '../registry/api.ts'
import type { FleetFiles } from './file-client.ts'

const AGAIN_MS = 60_000

export interface ImageMirrorParts {
  readonly images: Pick<ImageStore, 'has' | 'adopt'>
  readonly registry: Pick<Registry, 'images' | 'onChange'>
  readonly files: Pick<FleetFiles, 'blob'>
  readonly clock: Clock
  readonly logger: Logger
}

/** The returned function stops it, and waits for what is under way. */
export function mirrorImages(parts: ImageMirrorParts): () => Promise<void> {
  const { images, registry, files, clock, logger } = parts
  let isStopped = false
  let looking: Promise<void> | null = null
  /** Could not be had: asked for again with the next change. */
  const missed = new Set<string>()
  /** Asked for since the last look; null: all of them. */
  let asked: Set<string> | null = new Set()
  let cancel: () => void = () => {}

  const look = async (digests: Iterable<string>): Promise<void> => {
    for (const digest of digests) {
      if (isStopped) return
      if (images.has(digest)) continue
      try {
        await images.adopt(digest, (blob) => files.blob(blob))
        logger.debug({ digest }, 'took an image from another process')
      } catch (error) {
        missed.add(digest)
        logger.debug({ digest, reason: (error as Error).message }, 'an image cannot be had from others yet')
      }
    }
  }
  const ask = (more: readonly string[] | null): void => {
    if (more === null) asked = null
    else for (const digest of more) asked?.add(digest)
    if (looking !== null || isStopped || asked?.size === 0) return
    const digests = asked ?? registry.images()
    asked = new Set()
    looking = look(digests).finally(() => {
      looking = null
      ask([])
    })
  }
  const askAll = (): void => {
    missed.clear()
    ask(null)
    if (!isStopped) cancel = clock.after(AGAIN_MS, askAll)
  }
  const leave = registry.onChange((change) => {
    const again = [...missed]
    missed.clear()
    ask(change === null ? null : [...again, ...change.newImages])
  })
  askAll()
  return async () => {
    isStopped = true
    leave()
    cancel()
    await looking
  }
}
