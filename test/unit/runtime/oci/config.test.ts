import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../../../../runtime/limits/limits.ts'
import { type ConfigInput, nodeFlags, ociConfig, parseHardLimits, tmpfsInodes } from '../../../../runtime/oci/config.ts'
import { seccompProfile } from '../../../../runtime/oci/seccomp.ts'

const MIB = 1024 ** 2
const input: ConfigInput = {
  rootPath: '/run/thaw/x/root',
  rootReadOnly: true,
  uidBase: 1_000_000,
  limits: DEFAULT_LIMITS,
  cgroupsPath: '/thaw-x/s',
  resources: { pids: { limit: 64 } },
  seccomp: seccompProfile('x64', { lingers: true }),
  scratchPath: null,
  hardLimits: { nofile: 4096 },
  oomScoreAdj: 0,
}
/** The configuration is JSON for another program: tests look at it as such. */
const config = (change: Partial<ConfigInput> = {}) => JSON.parse(JSON.stringify(ociConfig({ ...input, ...change })))
type Mount = { readonly destination: string; readonly type: string; readonly options: readonly string[] }

describe('the OCI configuration', () => {
  test('has all seven namespaces and one uid range', () => {
    const { namespaces, uidMappings, gidMappings } = config().linux
    const types = namespaces.map((one: { type: string }) => one.type).sort()
    expect(types).toEqual(['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts'])
    expect(uidMappings).toEqual([{ containerID: 0, hostID: 1_000_000, size: 65_536 }])
    expect(gidMappings).toEqual(uidMappings)
  })

  test('gives the process nothing: uid 1000, no capability, no new privileges, no hooks', () => {
    const { process: inner, hooks } = config()
    expect(inner.user).toMatchObject({ uid: 1000, gid: 1000 })
    expect(Object.values(inner.capabilities).flat()).toEqual([])
    expect(inner.noNewPrivileges).toBe(true)
    expect(hooks).toBeUndefined()
  })

  test('has a read-only root unless a writable one was asked for', () => {
    expect(config().root.readonly).toBe(true)
    expect(config({ rootReadOnly: false }).root.readonly).toBe(false)
  })

  test('bounds /tmp, /dev and /dev/shm, and mounts neither /sys nor cgroups', () => {
    const mounts: Mount[] = config({ limits: { ...DEFAULT_LIMITS, tmpfs: 8 * MIB } }).mounts
    const at = (path: string) => mounts.find((mount) => mount.destination === path)
    expect(at('/tmp')?.options).toEqual(
      expect.arrayContaining([`size=${8 * MIB}`, 'nr_inodes=2048', 'nosuid', 'nodev']),
    )
    expect(at('/dev')?.options).toContain('size=64k')
    expect(at('/dev/shm')?.options).toEqual(expect.arrayContaining(['size=1m', 'noexec']))
    expect(mounts.map((mount) => mount.type)).not.toContain('cgroup')
    expect(at('/sys')).toBeUndefined()
  })

  test('brings the scratch disk and its variable only where there is one', () => {
    expect(JSON.stringify(config())).not.toContain('FN_SCRATCH_DIR')
    const withDisk = config({ scratchPath: '/run/x/scratch' })
    expect(withDisk.process.env).toContain('FN_SCRATCH_DIR=/scratch')
    expect(withDisk.mounts.at(-1)).toMatchObject({ destination: '/scratch', source: '/run/x/scratch' })
  })

  test('keeps rlimits below the platform’s own, and no core files', () => {
    const rlimits = config({
      limits: { ...DEFAULT_LIMITS, ulimits: [{ name: 'nproc', soft: 10, hard: 20 }] },
    }).process.rlimits
    expect(rlimits).toContainEqual({ type: 'RLIMIT_NOFILE', soft: 4096, hard: 4096 })
    expect(rlimits).toContainEqual({ type: 'RLIMIT_CORE', soft: 0, hard: 0 })
    expect(rlimits).toContainEqual({ type: 'RLIMIT_NPROC', soft: 10, hard: 20 })
  })

  test('only ever raises the OOM score', () => {
    expect(config().process.oomScoreAdj).toBe(500)
    expect(config({ oomScoreAdj: 900 }).process.oomScoreAdj).toBe(900)
  })

  test('hides what /proc tells about the host', () => {
    expect(config().linux.maskedPaths).toEqual(expect.arrayContaining(['/proc/kallsyms', '/proc/kcore', '/proc/keys']))
    expect(config().linux.readonlyPaths).toContain('/proc/sys')
  })

  test('leaves V8 room below the memory limit', () => {
    expect(nodeFlags(128 * MIB)).toEqual(['--max-old-space-size=96'])
    expect(nodeFlags(8 * MIB)).toEqual(['--max-old-space-size=12'])
  })

  test.each([
    [64 * 1024, 256],
    [64 * MIB, 16_384],
    [64 * 1024 * MIB, 65_536],
  ])('a tmpfs of %i bytes has %i inodes', (bytes, inodes) => {
    expect(tmpfsInodes(bytes)).toBe(inodes)
  })
})

describe('hard limits', () => {
  test('are read from the kernel’s table; unlimited ones bound nothing', () => {
    const text = [
      'Limit                     Soft Limit           Hard Limit           Units     ',
      'Max open files            1024                 20000                files     ',
      'Max stack size            8388608              unlimited            bytes     ',
      'Max processes             96365                96365                processes ',
    ].join('\n')
    expect(parseHardLimits(text)).toEqual({ nofile: 20_000, nproc: 96_365 })
  })
})
