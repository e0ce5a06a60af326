// Writes a cpio archive in the "newc" format, which the kernel unpacks as its initramfs. Regular files and folders only.
// Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

export interface ArchiveFile {
  /** Relative, without a leading slash; its folders are made before it. */
  readonly path: string
  readonly bytes: Buffer
  readonly executable?: boolean
}

const FOLDER_MODE = 0o040755
const FILE_MODE = 0o100644
const EXECUTABLE_MODE = 0o100755
const ALIGNMENT = 4

/** The whole archive. `folders` are made besides those that files lie in. */
export function cpioArchive(files: readonly ArchiveFile[], folders: readonly string[] = []): Buffer {
  const parts: Buffer[] = []
  const made = new Set<string>()
  let inode = 0
  const add = (path: string, mode: number, bytes: Buffer): void => void parts.push(entry(++inode, path, mode, bytes))
  const makeFolder = (path: string): void => {
    const above = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : ''
    if (path === '' || made.has(path)) return
    makeFolder(above)
    made.add(path)
    add(path, FOLDER_MODE, Buffer.alloc(0))
  }
  for (const folder of folders) makeFolder(folder)
  for (const { path, bytes, executable } of files) {
    makeFolder(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '')
    add(path, executable ? EXECUTABLE_MODE : FILE_MODE, bytes)
  }
  parts.push(entry(0, 'TRAILER!!!', 0, Buffer.alloc(0)))
  return Buffer.concat(parts)
}

function entry(inode: number, path: string, mode: number, bytes: Buffer): Buffer {
  const name = Buffer.from(`${path}\0`)
  // inode, mode, uid, gid, links, mtime, size, device ×4, length of the name, checksum: each eight hexadecimal digits
  const fields = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length, 0]
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`, 'latin1')
  return Buffer.concat([padded(Buffer.concat([head, name])), padded(bytes)])
}

function padded(bytes: Buffer): Buffer {
  const missing = (ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)])
}
