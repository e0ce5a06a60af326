// Layers of empty folders on which volumes are mounted: the layers of a root are read-only, so nothing can be made in it later.
// One folder per set of paths, kept with the layers; it holds no content of anybody's.
import { createHash } from 'node:crypto'
import { chmod, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { draftName } from '../host/durable-file.ts'
import { exists, parentsOf } from '../host/paths.ts'
import type { VolumeMount } from './api.ts'

/** Folder of the layer with a mount point for each volume, made at first use. */
export async function mountPointLayer(layersDir: string, volumes: readonly VolumeMount[]): Promise<string> {
  // runc gives a tmpfs the mode of the folder beneath it, whatever the mount options say.
  const points = volumes.map(({ path, kind }) => ({ path, mode: kind === 'tmpfs' ? 0o1777 : 0o755 }))
  const lines = points.map(({ path, mode }) => `${path} ${mode}\n`).sort()
  const key = createHash('sha256').update(lines.join('')).digest('hex').slice(0, 16)
  const layer = join(layersDir, `mounts-${key}`)
  if (await exists(layer)) return layer
  const draft = draftName(layer)
  try {
    await makeOpen(draft, 0o755)
    for (const { path, mode } of points) {
      for (const parent of parentsOf(path)) await makeOpen(join(draft, parent), 0o755)
      await makeOpen(join(draft, path), mode)
    }
    await rename(draft, layer)
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    // Another creation was faster.
    if (!(await exists(layer))) throw error
  }
  return layer
}

async function makeOpen(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true })
  await chmod(path, mode) // whatever the umask
}
