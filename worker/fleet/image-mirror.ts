// Every process that keeps files comes to have every image in use, so that no image depends on the one that took its deploy. In the
// background, one at a time; what cannot be had now is asked for again at the next change and now and then.
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
  let isAsked = false
  let cancel: () => void = () => {}

  const look = async (): Promise<void> => {
    for (const digest of registry.images()) {
      if (isStopped) return
      if (images.has(digest)) continue
      try {
        await images.adopt(digest, (blob) => files.blob(blob))
        logger.debug({ digest }, 'took an image from another process')
      } catch (error) {
        logger.debug({ digest, reason: (error as Error).message }, 'an image cannot be had from others yet')
      }
    }
  }
  const ask = (): void => {
    isAsked = true
    if (looking !== null || isStopped) return
    cancel()
    isAsked = false
    looking = look().finally(() => {
      looking = null
      if (isStopped) return
      if (isAsked) ask()
      else cancel = clock.after(AGAIN_MS, ask)
    })
  }
  const leave = registry.onChange(ask)
  ask()
  return async () => {
    isStopped = true
    leave()
    cancel()
    await looking
  }
}
