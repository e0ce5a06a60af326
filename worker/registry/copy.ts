// The registry's copy beside the images: written after every change, read to rebuild an emptied Redis or to start without one.
import type { ImageStore, Logger } from '../../runtime/api.ts'
import type { StoredFunction } from './entries.ts'

const ANNOTATION = 'thaw.registry'

export interface RegistryCopy {
  readonly epoch: number
  readonly functions: ReadonlyMap<string, StoredFunction>
}
export type CopyStore = Pick<ImageStore, 'readAnnotation' | 'writeAnnotation'>

/** null: there is none, or it cannot be read (said in the log). */
export async function readCopy(images: CopyStore | null, logger: Logger): Promise<RegistryCopy | null> {
  if (images === null) return null
  try {
    const text = await images.readAnnotation(ANNOTATION)
    if (text === null) return null
    const { epoch, functions } = JSON.parse(text) as { epoch: number; functions: Record<string, StoredFunction> }
    return { epoch, functions: new Map(Object.entries(functions)) }
  } catch (error) {
    logger.warn({ reason: (error as Error).message }, "the registry's copy cannot be read")
    return null
  }
}

/** Never throws: the change itself is already safe in Redis. */
export async function writeCopy(images: CopyStore | null, copy: RegistryCopy, logger: Logger): Promise<void> {
  if (images === null) return
  try {
    const { epoch, functions } = copy
    await images.writeAnnotation(ANNOTATION, JSON.stringify({ epoch, functions: Object.fromEntries(functions) }))
  } catch (error) {
    logger.warn({ reason: (error as Error).message }, "the registry's copy cannot be written")
  }
}
