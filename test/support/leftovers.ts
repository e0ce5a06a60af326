// Proves that a test leaves the kernel as it found it: cgroups, mounts, loop devices and run directories of the platform.
// Compares with a snapshot, because other platforms may run on the same machine.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Kernel objects that bear the platform's name, as sorted lines. */
export interface KernelSnapshot {
  readonly cgroups: readonly string[]
  readonly mounts: readonly string[]
  readonly loops: readonly string[]
  readonly runDirectories: readonly string[]
}

/** What is there now. `platformId` narrows it to one platform's objects: needed wherever other platforms may come and go. */
export function snapshotKernel(platformId = ''): KernelSnapshot {
  const name = `thaw-${platformId}`
  return {
    cgroups: cgroupRoots()
      .flatMap((root) =>
        entries(root)
          .filter((entry) => entry.startsWith(name))
          .flatMap((entry) => below(join(root, entry))),
      )
      .sort(),
    mounts: mountPoints()
      .filter((point) => point.includes('thaw') && point.includes(platformId))
      .sort(),
    loops: entries('/sys/block')
      .filter((disk) => disk.startsWith('loop'))
      .flatMap((disk) => backing(disk))
      .filter((line) => line.includes(platformId))
      .sort(),
    runDirectories: entries('/run/thaw')
      .filter((entry) => entry.includes(platformId))
      .sort(),
  }
}

/** Throws an error that lists every object there is now and was not in `before`. Give the same `platformId` to both. */
export function expectNoLeftovers(before: KernelSnapshot, platformId = ''): void {
  const after = snapshotKernel(platformId)
  const left = (Object.keys(after) as (keyof KernelSnapshot)[]).flatMap((kind) =>
    after[kind].filter((entry) => !before[kind].includes(entry)).map((entry) => `${kind}: ${entry}`),
  )
  if (left.length > 0) throw new Error(`left over in the kernel:\n  ${left.join('\n  ')}`)
}

/** Throws an error that lists every object there is of one platform. */
export function expectNothingLeft(platformId: string): void {
  expectNoLeftovers({ cgroups: [], mounts: [], loops: [], runDirectories: [] }, platformId)
}

/** Mount points of every cgroup hierarchy, v1 and v2. */
export function cgroupRoots(): string[] {
  return mountLines()
    .filter((fields) => /^cgroup2?$/.test(fields[fields.indexOf('-') + 1] ?? ''))
    .map((fields) => fields[4] ?? '')
}

function mountPoints(): string[] {
  return mountLines().map((fields) => fields[4] ?? '')
}

function mountLines(): string[][] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
}

function backing(disk: string): string[] {
  const path = `/sys/block/${disk}/loop/backing_file`
  return existsSync(path) ? [`${disk} ${readFileSync(path, 'utf8').trim()}`] : []
}

/** The directory and all directories in it; a cgroup's files are no objects of their own. */
function below(directory: string): string[] {
  const folders = entries(directory).filter((entry) => isDirectory(join(directory, entry)))
  return [directory, ...folders.flatMap((folder) => below(join(directory, folder)))]
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

/** Names in a directory; none when it is no directory or gone. */
function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
