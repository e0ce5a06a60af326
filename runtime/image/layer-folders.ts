// The folder of unpacked layers: what in it can be trusted, and what is left over. Only while no sandbox runs.
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeDurable } from '../host/durable-file.ts'

/** Unpacked files are not synced one by one (blobs are): they hold until the machine goes down. After another boot all
 *  layers are dropped, to be unpacked again on use. Throws RuntimeError `DISK_FULL`. */
export async function dropLayersOfEarlierBoot(
  layersDir: string,
  bootIdFile = '/proc/sys/kernel/random/boot_id',
): Promise<void> {
  const marker = join(layersDir, 'boot-id')
  const bootId = await readFile(bootIdFile, 'utf8')
  if ((await readFile(marker, 'utf8').catch(() => '')) === bootId) return
  for (const name of await readdir(layersDir)) await rm(join(layersDir, name), { recursive: true, force: true })
  await writeDurable(marker, bootId)
}

/** Removes base, bootstrap and mount point layers other than those in `keep` (paths), and drafts. */
export async function removeOldLayers(layersDir: string, keep: readonly string[]): Promise<void> {
  for (const name of await readdir(layersDir)) {
    const ours = /^(base|bootstrap|mounts)-[0-9a-f]{16}$/.test(name) || name.endsWith('.tmp')
    const path = join(layersDir, name)
    if (ours && !keep.includes(path)) await rm(path, { recursive: true, force: true })
  }
}
