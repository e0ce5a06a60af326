// The layers every sandbox has, built on the spot: the base (Node, its libraries, /etc, mount targets) from this host's
// files, and the bootstrap. Named by their inputs, so a start with the same inputs builds nothing. No registry needed.
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, copyFile, link, mkdir, open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { diskFull, draftName, syncFolder } from '../host/durable-file.ts'
import { exists, parentsOf } from '../host/paths.ts'
import { run } from '../host/spawn.ts'

/** Raise it when what is built from the same inputs changes. */
const REVISION = 1

/** A file of the host and where it lies in the sandbox. */
interface BaseFile {
  readonly source: string
  readonly target: string
}

/** Builds the base layer for `nodeBinary` under `layersDir` unless it is there, and reads it once, so that its page cache
 *  is not charged to the first sandbox. Returns its folder. Throws RuntimeError `HOST_UNSUITABLE` | `DISK_FULL`. */
export async function buildBaseLayer(layersDir: string, nodeBinary: string): Promise<string> {
  const files = await baseFiles(nodeBinary)
  const folder = join(layersDir, `base-${await keyOf(files)}`)
  if (!(await exists(folder))) {
    await buildAtomically(folder, async (draft) => {
      await makeSkeleton(draft)
      for (const file of files) {
        await makeFolders(draft, parentsOf(file.target))
        await place(file.source, join(draft, file.target))
      }
    })
  }
  await Promise.all(files.map((file) => readThrough(join(folder, file.target))))
  return folder
}

/** Puts the bootstrap and what sandboxes see as /proc/stat into a layer of its own, and reads it once as the base is. Returns its
 *  folder. `hostStat` is the text of the host's file. Throws RuntimeError `DISK_FULL`. */
export async function buildBootstrapLayer(layersDir: string, bootstrap: Buffer, hostStat: string): Promise<string> {
  const stat = Buffer.from(statWithoutLoad(hostStat))
  const key = createHash('sha256').update(bootstrap).update(stat).digest('hex').slice(0, 16)
  const folder = join(layersDir, `bootstrap-${key}`)
  if (!(await exists(folder))) {
    await buildAtomically(folder, async (draft) => {
      await makeFolders(draft, ['runtime'])
      await writeNormal(join(draft, 'runtime/bootstrap.cjs'), bootstrap)
      await writeNormal(join(draft, 'runtime/proc-stat'), stat)
    })
  }
  await readThrough(join(folder, 'runtime/bootstrap.cjs'))
  return folder
}

/** /proc/stat (proc(5)) with the host's CPUs and its boot time, and nothing of what runs on it. It must be there: Node's
 *  `os.cpus()` ends the process without it. */
function statWithoutLoad(hostStat: string): string {
  const lines = hostStat.split('\n').flatMap((line) => {
    const [name = ''] = line.split(' ', 1)
    if (/^cpu\d*$/.test(name)) return [`${name}${name === 'cpu' ? ' ' : ''}${' 0'.repeat(10)}`]
    return name === 'btime' ? [line] : []
  })
  return `${lines.join('\n')}\nintr 0\nctxt 0\nprocesses 0\nprocs_running 1\nprocs_blocked 0\n`
}

/** Libraries that add-ons and children may want, taken when they lie beside the C library. */
const EXTRA_LIBRARIES = [
  'libdl.so.2',
  'libpthread.so.0',
  'libresolv.so.2',
  'librt.so.1',
  'libutil.so.1',
  'libatomic.so.1',
]
const OPTIONAL_FILES = ['/bin/sh', '/etc/ssl/certs/ca-certificates.crt']

async function baseFiles(nodeBinary: string): Promise<BaseFile[]> {
  const files = new Map<string, string>([['/usr/bin/node', nodeBinary]])
  const optional: string[] = []
  for (const path of OPTIONAL_FILES) if (await exists(path)) optional.push(path)
  const libraries = new Set<string>()
  for (const binary of [nodeBinary, ...optional.filter((path) => path.startsWith('/bin/'))]) {
    for (const library of await librariesOf(binary)) libraries.add(library)
  }
  const libcFolder = [...libraries].find((path) => path.includes('/libc.so'))
  for (const name of libcFolder === undefined ? [] : EXTRA_LIBRARIES) {
    const path = join(dirname(libcFolder ?? '/'), name)
    if (await exists(path)) libraries.add(path)
  }
  for (const path of [...libraries, ...optional]) files.set(path, path)
  return Promise.all([...files].map(async ([target, source]) => ({ target, source: await realpath(source) })))
}

/** Shared libraries of a binary as the dynamic linker finds them, itself included. */
async function librariesOf(binary: string): Promise<string[]> {
  const result = await run('ldd', [binary])
  if (result.code !== 0) {
    if (/not a dynamic/.test(result.stdout + result.stderr)) return []
    throw new RuntimeError('HOST_UNSUITABLE', `ldd ${binary}: ${result.stderr.trim()}; is it a program of this host?`)
  }
  const missing = /^\s*(\S+) => not found/m.exec(result.stdout)
  if (missing) throw new RuntimeError('HOST_UNSUITABLE', `${binary} needs ${missing[1]}, which this host does not have`)
  return [...result.stdout.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/gm)].map((match) => match[1]!)
}

/** Path, size and time of every input: hashing 125 MB at each start would cost more than the build saves. */
async function keyOf(files: readonly BaseFile[]): Promise<string> {
  const hash = createHash('sha256').update(`revision ${REVISION}\n`)
  for (const file of files.toSorted((a, b) => (a.target < b.target ? -1 : 1))) {
    const { size, mtimeMs } = await stat(file.source)
    hash.update(`${file.target}\0${file.source}\0${size}\0${mtimeMs}\n`)
  }
  return hash.digest('hex').slice(0, 16)
}

/** Builds in a draft folder beside `folder` and renames it: a layer is there whole or not at all. */
async function buildAtomically(folder: string, build: (draft: string) => Promise<void>): Promise<void> {
  const draft = draftName(folder)
  try {
    await mkdir(draft, { recursive: true })
    await chmod(draft, 0o755)
    await build(draft)
    await rename(draft, folder)
    await syncFolder(dirname(folder))
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw diskFull(error, folder)
  }
}

const ETC: Readonly<Record<string, string>> = {
  'etc/passwd':
    'root:x:0:0:root:/root:/bin/sh\nsandbox:x:1000:1000:sandbox:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  'etc/group': 'root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n',
  'etc/hosts': '127.0.0.1 localhost sandbox\n::1 localhost\n',
  'etc/resolv.conf': '',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  'etc/os-release': 'ID=thaw\nNAME=Thaw\nPRETTY_NAME="Thaw sandbox"\n',
}

/** Folders and mount targets: every one must exist, because the lower layers are read-only. */
const FOLDERS = [
  'bin',
  'code',
  'dev',
  'etc',
  'home',
  'opt',
  'proc',
  'runtime',
  'scratch',
  'sys',
  'usr',
  'usr/bin',
  'var',
]

async function makeSkeleton(root: string): Promise<void> {
  await makeFolders(root, [...FOLDERS, 'tmp', 'var/tmp'])
  // runc gives a tmpfs the mode of the folder beneath it, whatever the mount options say.
  for (const name of ['tmp', 'var/tmp']) await chmod(join(root, name), 0o1777)
  for (const [path, content] of Object.entries(ETC)) await writeNormal(join(root, path), content)
}

async function makeFolders(root: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await mkdir(join(root, name), { recursive: true })
    await chmod(join(root, name), 0o755) // whatever the umask
  }
}

async function writeNormal(path: string, content: string | Buffer): Promise<void> {
  await writeFile(path, content, { mode: 0o644 })
  await chmod(path, 0o644)
}

/** Brings a file of the host into the layer: a second name of it where that is possible (it shares the page cache, and
 *  costs neither time nor space), else a copy. */
async function place(source: string, target: string): Promise<void> {
  const { mode, uid, gid } = await stat(source)
  const isNormal = uid === 0 && gid === 0 && (mode & 0o7022) === 0 && (mode & 0o444) === 0o444
  if (isNormal && (await tryLink(source, target))) return
  await copyFile(source, target, constants.COPYFILE_FICLONE)
  await chmod(target, (mode & 0o111) === 0 ? 0o644 : 0o755)
}

async function tryLink(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EXDEV' || code === 'EPERM' || code === 'EMLINK' || code === 'ENOTSUP') return false
    throw error
  }
}

const READ_BYTES = 1024 ** 2

/** Reads a file once, off the event loop. */
async function readThrough(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    while ((await file.read(buffer, 0, READ_BYTES, null)).bytesRead > 0) {}
  } finally {
    await file.close()
  }
}
