// The guest's first root: busybox, the modules in their order, init.sh and what it must know of this run. Writes nothing.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ArchiveFile, cpioArchive } from './cpio.ts'
import { modulesInOrder } from './kernel-modules.ts'

/** The devices of the guest, its file systems, and what sandboxes need. */
const MODULES = [
  ...['virtio_pci', 'virtio_blk', '9pnet_virtio', 'virtio_rng'],
  ...['crc32c_generic', 'ext4', '9p', 'overlay', 'loop'],
  ...['bfq', 'zram', 'veth'],
]

/** Where `bin/setup --v2` has put the kernel and busybox, none of it installed. */
export interface Machine {
  readonly kernel: string
  /** Folder of the kernel's modules. */
  readonly modules: string
  readonly busybox: string
}

/** Finds the parts below `folder`. Throws with the way out when one is missing. */
export function findMachine(folder: string): Machine {
  const files = list(folder)
  const kernel = files.find((file) => /^boot\/vmlinuz-/.test(file))
  const busybox = files.find((file) => /(^|\/)bin\/busybox$/.test(file))
  const modules = files.find((file) => /(^|\/)lib\/modules\/[^/]+$/.test(file))
  if (kernel === undefined || busybox === undefined || modules === undefined)
    throw new Error(`no kernel and busybox in ${folder}; run bin/setup --v2 (it needs Debian’s apt)`)
  return { kernel: join(folder, kernel), modules: join(folder, modules), busybox: join(folder, busybox) }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
  } catch {
    return []
  }
}

/** `project`: the repository's path, the same inside; `timeScale`: how much longer tests may take there. */
export function initramfs(machine: Machine, project: string, timeScale: number): Buffer {
  const job = [
    `project=${shellWord(project)}`,
    `busybox_on_host=${shellWord(machine.busybox)}`,
    `time_scale=${timeScale}`,
  ].join('\n')
  const modules = modulesInOrder(machine.modules, MODULES).map(
    ({ name, bytes }, index): ArchiveFile => ({
      path: `modules/${String(index).padStart(3, '0')}-${name}.ko`,
      bytes,
    }),
  )
  const init = readFileSync(new URL('init.sh', import.meta.url))
  return cpioArchive(
    [
      { path: 'bin/busybox', bytes: readFileSync(machine.busybox), executable: true },
      { path: 'init', bytes: init, executable: true },
      { path: 'job', bytes: Buffer.from(`${job}\n`) },
      ...modules,
    ],
    ['proc', 'dev', 'host', 'changes', 'new-root'],
  )
}

/** Quoted for a POSIX shell. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
