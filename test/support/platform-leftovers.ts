// What a platform left in the kernel: read from /proc, /sys and /run by the id of its state directory. Removes nothing.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const CGROUP_ROOT = '/sys/fs/cgroup'

/** Every cgroup, run directory, mount, loop device and process that still belongs to this state directory, one line each. */
export function leftovers(id: string, stateDir: string): string[] {
  return [
    ...cgroupsOf(id).map((path) => `cgroup ${path}`),
    ...(existsSync(`/run/thaw/${id}`) ? [`run directory /run/thaw/${id}`] : []),
    ...mountsOf(id, stateDir).map((target) => `mount ${target}`),
    ...interfacesOf(id).map((name) => `interface ${name}`),
    ...loopDevicesOf(stateDir).map((device) => `loop device ${device}`),
    ...processesOf(id, stateDir).map((pid) => `process ${pid} (${commandOf(pid)})`),
  ]
}

/** Pids of the platform itself, its children and its sandboxes. */
export function processesOf(id: string, stateDir: string): number[] {
  // Without an id every platform of this machine would be meant, and callers kill what they are given.
  if (!/^[0-9a-f]{8}$/.test(id)) throw new Error(`expected the id of a state directory, got ${JSON.stringify(id)}`)
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && belongs(pid, id, stateDir))
}

function belongs(pid: number, id: string, stateDir: string): boolean {
  const folder = `/proc/${pid}`
  // A zombie is dead; its parent, not the platform, has yet to notice.
  if (/^State:\s+[ZX]/m.test(read(join(folder, 'status')))) return false
  if (read(join(folder, 'cgroup')).includes(`/thaw-${id}`)) return true
  if (read(join(folder, 'cmdline')).includes(`/run/thaw/${id}`)) return true
  const command = read(join(folder, 'cmdline'))
  return command.includes(stateDir) || (/bin\.ts\0(up|gateway|worker)\0/.test(command) && hasState(folder, stateDir))
}

function hasState(folder: string, stateDir: string): boolean {
  return read(join(folder, 'environ')).split('\0').includes(`FN_STATE_DIR=${stateDir}`)
}

function cgroupsOf(id: string): string[] {
  const hierarchies = existsSync(CGROUP_ROOT) ? readdirSync(CGROUP_ROOT).map((name) => join(CGROUP_ROOT, name)) : []
  return [CGROUP_ROOT, ...hierarchies]
    .flatMap((parent) => [join(parent, `thaw-${id}`), join(parent, `thaw-${id}-platform`)])
    .filter((path) => existsSync(path))
}

function mountsOf(id: string, stateDir: string): string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) => target.startsWith(`/run/thaw/${id}/`) || target.startsWith(`${stateDir}/`))
}

function interfacesOf(id: string): string[] {
  return [...read('/proc/self/net/dev').matchAll(/^ *([^:\s]+):/gm)]
    .map(([, name]) => name ?? '')
    .filter((name) => name.startsWith(`thw${id}`))
}

function loopDevicesOf(stateDir: string): string[] {
  return readdirSync('/sys/block').filter((name) =>
    read(`/sys/block/${name}/loop/backing_file`).startsWith(`${stateDir}/`),
  )
}

function commandOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim().slice(0, 120)
}

/** Empty for what is not there (a process may end while it is read). */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
