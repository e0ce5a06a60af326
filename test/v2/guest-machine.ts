// Runs one command in a guest: QEMU by emulation (no KVM), the host's root shared read-only, a disk of its own that is forgotten.
// Owns the QEMU process and a temporary folder; both are gone when `runInGuest` has ended, however it ended.
import { execFileSync, spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { initramfs, type Machine } from './initramfs.ts'

export interface GuestJob {
  readonly machine: Machine
  /** The repository; the command runs in it. */
  readonly project: string
  /** POSIX shell; sees /out, a folder that is read when the guest has ended. */
  readonly command: string
  /** How much longer tests may take than on the host. */
  readonly timeScale: number
  readonly timeoutMs: number
  /** Called with what the guest prints, as it comes. */
  print(text: string): void
  /** Ends the guest at once. */
  readonly signal: AbortSignal
}

export interface GuestResult {
  /** Exit status of the command; null when the guest did not get to it (time-out, panic, abort). */
  readonly status: number | null
  readonly timedOut: boolean
  /** Text of a file the command left in /out, or null. */
  output(name: string): string | null
}

/** Name of a run's folder: this, the pid of its owner, and something random. */
const FOLDER = 'thaw-v2-'
const MEMORY_MIB = 3072
const CPUS = 2
const DISK_BYTES = 4 * 1024 ** 3
/** Without cmpxchg16b, which the emulation does so slowly that guests hang; without AVX, which it does slowly. */
const CPU = 'Nehalem-v1,-cx16'
const KERNEL_ARGUMENTS =
  'console=ttyS0 quiet panic=-1 cgroup_no_v1=all mitigations=off tsc=reliable random.trust_cpu=on'

/** Never throws for what happens inside. Throws when QEMU cannot be started. */
export async function runInGuest(job: GuestJob): Promise<GuestResult> {
  removeOrphans()
  const folder = mkdtempSync(join(tmpdir(), `${FOLDER}${process.pid}-`))
  try {
    const out = join(folder, 'out')
    mkdirSync(out)
    writeFileSync(join(out, 'command'), job.command)
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, initramfs(job.machine, job.project, job.timeScale))
    const disk = join(folder, 'disk')
    writeFileSync(disk, '')
    truncateSync(disk, DISK_BYTES)
    execFileSync('mkfs.ext4', ['-q', '-m0', '-E', 'lazy_itable_init=1,nodiscard', disk])
    const timedOut = await runQemu(job, qemuArguments({ kernel: job.machine.kernel, initrd, disk, out }))
    const files = new Map(['status', 'report.json'].map((name) => [name, readOrNull(join(out, name))]))
    const status = files.get('status')?.trim() ?? ''
    return {
      status: /^\d+$/.test(status) ? Number(status) : null,
      timedOut,
      output: (name) => files.get(name) ?? null,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A runner that was killed could not remove its folder; its guest died with it. */
function removeOrphans(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = name.startsWith(FOLDER) ? name.slice(FOLDER.length).split('-')[0] : undefined
    if (owner !== undefined && !existsSync(`/proc/${owner}`))
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
  }
}

function qemuArguments(paths: { kernel: string; initrd: string; disk: string; out: string }): string[] {
  const share = (id: string, path: string, more: string): string =>
    `local,id=${id},path=${path},mount_tag=${id},security_model=none,multidevs=remap${more}`
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
    ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', CPU, '-smp', String(CPUS), '-m', String(MEMORY_MIB)],
    ...['-kernel', paths.kernel, '-initrd', paths.initrd, '-append', KERNEL_ARGUMENTS],
    ...['-drive', `file=${paths.disk},if=virtio,format=raw,cache=unsafe`, '-device', 'virtio-rng-pci'],
    ...['-virtfs', share('host', '/', ',readonly=on'), '-virtfs', share('out', paths.out, '')],
  ]
}

/** Resolves to whether it had to be ended for its time. */
async function runQemu(job: GuestJob, args: readonly string[]): Promise<boolean> {
  // A runner that is killed leaves no guest behind.
  const command = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args]
  const qemu = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'inherit'] })
  const end = (): void => void qemu.kill('SIGKILL')
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    end()
  }, job.timeoutMs)
  job.signal.addEventListener('abort', end, { once: true })
  if (job.signal.aborted) end()
  // The console is a terminal: it ends lines with \r\n.
  qemu.stdout.setEncoding('utf8').on('data', (text: string) => job.print(text.replaceAll('\r', '')))
  try {
    await new Promise((resolve, reject) => qemu.once('error', reject).once('close', resolve))
  } finally {
    clearTimeout(timer)
    job.signal.removeEventListener('abort', end)
  }
  return timedOut
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
