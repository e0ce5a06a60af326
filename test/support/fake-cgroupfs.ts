// A cgroup file system of plain files in a temporary directory: v1, hybrid or v2. Files hold what was written last; the little
// the kernel does by itself (confirm a freeze, empty a killed cgroup) happens in `step`, which the fake's clock calls.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../runtime/api.ts'
import type { CgroupMode } from '../../runtime/cgroup/tree.ts'

const UNLIMITED_V1 = '9223372036854771712'
const V1_FILES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'cpu,cpuacct': {
    'cpu.shares': '1024',
    'cpu.cfs_quota_us': '-1',
    'cpu.stat': 'nr_periods 0\nnr_throttled 0\nthrottled_time 0',
    'cpuacct.usage': '0',
    'cpuacct.usage_user': '0',
  },
  cpuset: { 'cpuset.cpus': '0-1', 'cpuset.mems': '0' },
  memory: {
    'memory.limit_in_bytes': UNLIMITED_V1,
    'memory.memsw.limit_in_bytes': UNLIMITED_V1,
    'memory.soft_limit_in_bytes': UNLIMITED_V1,
    'memory.swappiness': '60',
    'memory.usage_in_bytes': '0',
    'memory.memsw.usage_in_bytes': '0',
    'memory.max_usage_in_bytes': '0',
    'memory.memsw.max_usage_in_bytes': '0',
    'memory.stat': 'inactive_file 0\nactive_file 0\npgfault 0\ntotal_pgfault 0',
    'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 0',
  },
  pids: { 'pids.max': 'max', 'pids.current': '0' },
  freezer: { 'freezer.state': 'THAWED' },
  blkio: {
    'blkio.throttle.read_bps_device': '',
    'blkio.throttle.write_bps_device': '',
    'blkio.throttle.read_iops_device': '',
    'blkio.throttle.write_iops_device': '',
    'blkio.throttle.io_service_bytes_recursive': 'Total 0',
    'blkio.throttle.io_serviced_recursive': 'Total 0',
    'blkio.bfq.weight': '100',
    'blkio.bfq.weight_device': '',
  },
}
const UNIFIED_FILES = {
  'cgroup.freeze': '0',
  'cgroup.events': 'populated 1\nfrozen 0',
  'cgroup.kill': '',
  'cpu.stat': 'usage_usec 0\nuser_usec 0\nsystem_usec 0',
}
const V2_FILES = {
  ...UNIFIED_FILES,
  'cgroup.subtree_control': '',
  'cpu.stat': 'usage_usec 0\nuser_usec 0\nsystem_usec 0\nthrottled_usec 0',
  'cpu.weight': '100',
  'cpu.max': 'max 100000',
  'cpuset.cpus': '',
  'memory.max': 'max',
  'memory.swap.max': 'max',
  'memory.low': '0',
  'memory.current': '0',
  'memory.swap.current': '0',
  'memory.peak': '0',
  'memory.swap.peak': '0',
  'memory.reclaim': '',
  'memory.stat': 'inactive_file 0\nactive_file 0\npgfault 0',
  'memory.events': 'low 0\noom 0\noom_kill 0',
  'pids.max': 'max',
  'pids.current': '0',
  'pids.peak': '0',
  'io.max': '',
  'io.stat': '',
  'io.bfq.weight': 'default 100',
}

export class FakeCgroupfs {
  readonly mode: CgroupMode
  readonly root = mkdtempSync(join(tmpdir(), 'cgroupfs-'))
  readonly mountinfo: string
  /** Whether the kernel confirms freezes. */
  confirms = true
  readonly clock: Clock
  #monotonicMs = 0

  constructor(mode: CgroupMode) {
    this.mode = mode
    const mounts: string[] = []
    for (const [index, name] of this.#hierarchies().entries()) {
      const point = this.#point(name)
      mkdirSync(point, { recursive: true })
      const [type, options] = name === 'unified' ? ['cgroup2', 'rw'] : ['cgroup', `rw,${name}`]
      mounts.push(
        `${30 + index} 23 0:${30 + index} / ${point} rw,nosuid,relatime shared:${index} - ${type} ${type} ${options}`,
      )
    }
    if (mode !== 'v1') {
      const controllers = mode === 'v2' ? 'cpuset cpu io memory hugetlb pids' : ''
      writeFileSync(join(this.#point('unified'), 'cgroup.controllers'), `${controllers}\n`)
    }
    this.mountinfo = `23 1 254:0 / / rw - ext4 /dev/vda rw\n${mounts.join('\n')}\n`
    this.clock = {
      now: () => 1_700_000_000_000 + this.#monotonicMs,
      monotonicMs: () => this.#monotonicMs,
      after: (ms, fire) => {
        const turn = setImmediate(() => {
          this.#monotonicMs += ms
          this.step()
          fire()
        })
        return () => clearImmediate(turn)
      },
    }
  }

  /** Makes a cgroup with all its control files, as mkdir does on the real thing. */
  make(path: string): void {
    for (const name of this.#hierarchies()) {
      const directory = join(this.#point(name), path)
      mkdirSync(directory, { recursive: true })
      const files = name !== 'unified' ? V1_FILES[name]! : this.mode === 'v2' ? V2_FILES : UNIFIED_FILES
      for (const [file, content] of Object.entries({ ...files, 'cgroup.procs': '' })) {
        writeFileSync(join(directory, file), `${content}\n`)
      }
    }
  }

  /** First line of the control file, in the first hierarchy that has it. Later lines may be what is left of a longer earlier value. */
  read(path: string, file: string): string {
    return readFileSync(this.#find(path, file), 'utf8').split('\n')[0] ?? ''
  }

  write(path: string, file: string, content: string): void {
    writeFileSync(this.#find(path, file), `${content}\n`)
  }

  /** The same in the v2 tree, where hybrid hosts have a file of that name too. */
  writeUnified(path: string, file: string, content: string): void {
    writeFileSync(join(this.#point('unified'), path, file), `${content}\n`)
  }

  remove(path: string, file: string): void {
    rmSync(this.#find(path, file))
  }

  /** Memory in use that is not file cache. */
  use(path: string, bytes: number): void {
    this.write(path, this.mode === 'v2' ? 'memory.current' : 'memory.usage_in_bytes', String(bytes))
  }

  /** What the kernel does next: confirms freezes and thaws; a killed cgroup becomes empty and loses its files, so it can be removed. */
  step(): void {
    const unified = this.#point('unified')
    for (const parent of this.mode === 'v1' ? [] : namesIn(unified)) {
      for (const sandbox of namesIn(join(unified, parent))) {
        const path = join(parent, sandbox)
        if (!existsSync(join(unified, path, 'cgroup.events'))) continue
        const killed = this.read(path, 'cgroup.kill') === '1'
        const frozen = this.read(path, 'cgroup.freeze') === '1' && this.confirms
        this.write(path, 'cgroup.events', `populated ${killed ? 0 : 1}\nfrozen ${frozen ? 1 : 0}`)
      }
    }
  }

  /** Control files vanish with their directory on the real thing; rmdir(2) wants them gone here. */
  emptyDirectories(path: string): void {
    for (const name of this.#hierarchies()) {
      const directory = join(this.#point(name), path)
      for (const file of existsSync(directory) ? readdirSync(directory, { withFileTypes: true }) : []) {
        if (file.isFile()) rmSync(join(directory, file.name))
      }
    }
  }

  exists(path: string): boolean {
    return this.#hierarchies().some((name) => existsSync(join(this.#point(name), path)))
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true })
  }

  #hierarchies(): string[] {
    if (this.mode === 'v2') return ['unified']
    return [...Object.keys(V1_FILES), ...(this.mode === 'hybrid' ? ['unified'] : [])]
  }

  #point(name: string): string {
    return this.mode === 'v2' ? this.root : join(this.root, name)
  }

  #find(path: string, file: string): string {
    for (const name of this.#hierarchies()) {
      const candidate = join(this.#point(name), path, file)
      if (existsSync(candidate)) return candidate
    }
    throw new Error(`no control file ${file} in ${path}`)
  }
}

function namesIn(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
}
