// What this host is: numbers for `fn doctor`, and the checks without which nothing can work.
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { availableParallelism, release, totalmem } from 'node:os'
import { RuntimeError } from '../errors.ts'
import { cpusOf } from '../limits/limit-rules.ts'
import { PLAIN_PATH, run } from './spawn.ts'

/** Throws RuntimeError `HOST_UNSUITABLE` with the way out unless this is Linux and we are root. */
export function expectLinuxRoot(platform: string = process.platform, uid = process.geteuid?.() ?? -1): void {
  if (platform !== 'linux') {
    throw new RuntimeError('HOST_UNSUITABLE', `sandboxes need Linux, this is ${platform}; use a Linux machine or VM`)
  }
  if (uid !== 0) {
    throw new RuntimeError('HOST_UNSUITABLE', 'sandboxes need root (namespaces, mounts, cgroups); run it with sudo')
  }
}

export interface HostFacts {
  readonly kernel: string
  readonly arch: string
  readonly cores: number
  readonly memoryBytes: number
  readonly swapBytes: number
  readonly nodeVersion: string
}

/** Reads the host's facts; `nodeBinary` is the functions' runtime. Throws RuntimeError `HOST_UNSUITABLE` when it does not run. */
export async function readHostFacts(nodeBinary: string): Promise<HostFacts> {
  return {
    kernel: release(),
    arch: process.arch,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    swapBytes: parseSwapBytes(readFileSync('/proc/swaps', 'utf8')),
    nodeVersion: nodeBinary === process.execPath ? process.version : await versionOf(nodeBinary),
  }
}

/** Sum of the sizes in /proc/swaps (KiB there). */
export function parseSwapBytes(swaps: string): number {
  const sizes = swaps
    .split('\n')
    .slice(1)
    .map((line) => Number(line.trim().split(/\s+/)[2] ?? 0))
  return sizes.reduce((sum, kib) => sum + (Number.isFinite(kib) ? kib * 1024 : 0), 0)
}

/** CPUs that the process of this /proc/<pid>/status may run on (proc(5)). */
export function parseAllowedCpus(status: string): ReadonlySet<number> {
  return cpusOf(/^Cpus_allowed_list:\s+(\S+)$/m.exec(status)?.[1] ?? '0')
}

async function versionOf(nodeBinary: string): Promise<string> {
  try {
    const result = await run(nodeBinary, ['--version'])
    if (result.code === 0) return result.stdout.trim()
  } catch {
    // said below
  }
  throw new RuntimeError('HOST_UNSUITABLE', `${nodeBinary} does not run; bin/setup installs the Node of this project`)
}

/** Whether scratch disks can be made here: loop devices and the program that makes their file system. */
export function canMakeDisks(): boolean {
  return existsSync('/dev/loop-control') && hasProgram('mkfs.ext4')
}

/** Whether a program is where programs of the system are. */
export function hasProgram(name: string): boolean {
  return PLAIN_PATH.split(':').some((folder) => {
    try {
      accessSync(`${folder}/${name}`, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
