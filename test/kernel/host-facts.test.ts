// What a sandbox can read of its host in /proc: walked from inside and held against a list with reasons. A file that is on no line of
// it is a failure: a newer kernel's has to be looked at and masked (runtime/oci/config.ts) or listed here.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { EVALUATOR, evaluate } from '../support/kernel-runtime.ts'
import { useSandboxes } from '../support/kernel-sandboxes.ts'

const sandboxes = useSandboxes()

/** What may be read and is not empty, below /proc, and why. */
const READABLE: readonly (readonly [paths: RegExp, reason: string])[] = [
  [/^(cpuinfo|version)$/, 'the processor and the kernel: Node asks for them, and cpuid and uname(2) tell them too'],
  [
    /^(loadavg|meminfo|swaps|uptime)$/,
    'what sysinfo(2) tells too, which Node needs; memory and load of the whole host',
  ],
  [/^stat$/, 'a text of the platform: the number of CPUs and the time of the boot, which clock_gettime(2) tells too'],
  [
    /^(consoles|crypto|devices|dma|execdomains|fb|filesystems|iomem|ioports|mdstat|misc|mtrr|cpu\/|driver\/|tty\/)/,
    'what the kernel and the machine are made of: the same at all times, addresses are zero',
  ],
  [/^sysvipc\//, 'of its own ipc namespace'],
  [/^locks$/, 'of its own pid namespace'],
  [
    /^sys\/(abi|crypto|debug|dev|kernel|net|sunrpc|user|vm)\//,
    'settings of the kernel and of its own network namespace',
  ],
  [/^(sysrq-trigger|bootconfig)$/, 'nothing to read'],
]

/** Those that tell what the host and its other tenants do, or which machine it is. */
const SILENT = [
  ...['buddyinfo', 'cgroups', 'cmdline', 'diskstats', 'interrupts', 'kallsyms', 'keys', 'key-users', 'partitions'],
  ...['schedstat', 'slabinfo', 'softirqs', 'timer_list', 'vmallocinfo', 'vmstat', 'zoneinfo', 'kmsg', 'pagetypeinfo'],
  ...['bus/pci/devices', 'fs/ext4', 'irq/0', 'pressure/cpu', 'pressure/memory', 'pressure/io', 'sys/fs/file-nr'],
  ...['sys/fs/dentry-state', 'sys/kernel/random/boot_id'],
]

const WALK = `(() => {
  const found = []
  const walk = (folder) => {
    let entries = []
    try { entries = fs.readdirSync('/proc' + folder, { withFileTypes: true }) } catch {}
    for (const entry of entries) {
      const path = folder + '/' + entry.name
      if (folder === '' && /^(\\d+|self|thread-self)$/.test(entry.name)) continue
      if (entry.isDirectory()) walk(path)
      if (!entry.isFile()) continue
      try {
        const file = fs.openSync('/proc' + path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
        try { if (fs.readSync(file, Buffer.alloc(1), 0, 1, null) > 0) found.push(path.slice(1)) } finally { fs.closeSync(file) }
      } catch {}
    }
  }
  walk('')
  return found
})()`

describe('of /proc a sandbox', () => {
  test('can read what is on the list, and nothing else', async () => {
    const sandbox = await sandboxes.start(EVALUATOR)
    const found = (await evaluate(sandbox, WALK)) as string[]
    expect(found).toContain('cpuinfo')
    expect(found.filter((path) => !READABLE.some(([paths]) => paths.test(path)))).toEqual([])
  })

  test('learns nothing of what the host and its tenants do, nor which machine it is', async () => {
    const sandbox = await sandboxes.start(EVALUATOR)
    const read = SILENT.map((path) => `'/proc/${path}'`).join(', ')
    const texts = await evaluate(
      sandbox,
      `[${read}].map((path) => { try { return fs.readFileSync(path, 'latin1').length } catch { return 0 } })`,
    )
    expect(SILENT.filter((_, nth) => (texts as number[])[nth] !== 0)).toEqual([])
  })

  test('sees in stat the CPUs there are, and none of their time', async () => {
    const sandbox = await sandboxes.start(EVALUATOR)
    const seen = String(await evaluate(sandbox, `fs.readFileSync('/proc/stat', 'utf8')`))
    const cpus = (text: string) => text.match(/^cpu\d+/gm)
    expect(cpus(seen)).toEqual(cpus(readFileSync('/proc/stat', 'utf8')))
    expect(seen.match(/^(?:cpu|intr|ctxt|processes).*[1-9]\d* [1-9]/gm)).toBe(null)
    expect(await evaluate(sandbox, `fs.writeFileSync('/proc/stat', 'x')`)).toMatch(/^E(ROFS|ACCES)$/)
  })

  test('has what Node’s own functions need', async () => {
    const sandbox = await sandboxes.start(EVALUATOR)
    const values = `[os.cpus().length, os.uptime(), os.freemem(), os.totalmem(), os.availableParallelism(),
      os.loadavg().length, process.memoryUsage().rss, process.constrainedMemory(), process.resourceUsage().maxRSS]`
    for (const value of (await evaluate(sandbox, values)) as number[]) expect(value).toBeGreaterThan(0)
    expect(await evaluate(sandbox, `os.cpus()[0].model`)).toMatch(/./)
  })
})
