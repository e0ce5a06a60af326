// A small disk of one's own for kernel tests: a loop device on a temporary file. The test that makes it removes it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

export interface LoopDisk {
  /** `/dev/loopN` */
  readonly device: string
  /** `maj:min` */
  readonly number: string
  remove(): void
}

/** Needs root and losetup. `label` becomes part of the file's name, so that a leftover tells whose it is. */
export function makeLoopDisk(sizeBytes: number, label: string): LoopDisk {
  const folder = mkdtempSync(join(tmpdir(), `${label}-`))
  const file = join(folder, 'disk')
  writeFileSync(file, '')
  truncateSync(file, sizeBytes)
  const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim()
  return {
    device,
    number: readFileSync(`/sys/block/${basename(device)}/dev`, 'utf8').trim(),
    remove() {
      execFileSync('losetup', ['--detach', device])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
