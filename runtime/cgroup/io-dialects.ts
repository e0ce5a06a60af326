// The two spellings of block I/O control: v1 blkio (one file a rate, counters by throttle) and v2 io (io.max, io.stat).
import type { ControlFile } from './control-file.ts'
import type { DiskRates, IoCounters, IoDialect } from './io.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'
import type { Place } from './tree.ts'

const V1_RATE_FILES = [
  'blkio.throttle.read_bps_device',
  'blkio.throttle.write_bps_device',
  'blkio.throttle.read_iops_device',
  'blkio.throttle.write_iops_device',
] as const

const NO_COUNTERS: IoCounters = Object.freeze({ readBytes: 0, writeBytes: 0, readOps: 0, writeOps: 0 })

/** So high that it never bites, yet a rule: v1 counts bytes of a disk only while its throttling code is switched on. */
const COUNTING_RATE = 2 ** 50

export class IoV1 implements IoDialect {
  readonly weight: ControlFile
  readonly weightDevice: ControlFile
  readonly #rates: readonly ControlFile[]
  readonly #bytes: ControlFile
  readonly #operations: ControlFile
  readonly #counted: string | null
  #last: IoCounters = NO_COUNTERS

  /** `counted`: the disk that keeps a rule even when it is not limited, so that its bytes are counted. */
  constructor(directory: SandboxDirectory, place: Place, counted: string | null) {
    this.#rates = V1_RATE_FILES.map((name) => directory.file(place, name, 'write'))
    this.#bytes = directory.file(place, 'blkio.throttle.io_service_bytes_recursive', 'read').open()
    this.#operations = directory.file(place, 'blkio.throttle.io_serviced_recursive', 'read').open()
    this.weight = directory.file(place, 'blkio.bfq.weight', 'write')
    this.weightDevice = directory.file(place, 'blkio.bfq.weight_device', 'write')
    this.#counted = counted
  }

  writeRates(disk: string, rates: DiskRates, before: DiskRates): void {
    for (const [index, file] of this.#rates.entries()) {
      const rate = rates[index]!
      const keepsCounting = index === 0 && disk === this.#counted
      if (rate === before[index] && !(keepsCounting && rate === Infinity)) continue
      file.write(`${disk} ${rate !== Infinity ? rate : keepsCounting ? COUNTING_RATE : 0}`)
    }
  }

  weightText(weight: number): string {
    return String(weight)
  }

  /** Most calls read and write nothing: no byte more means no operation more either, and nothing else is read. */
  read(except: string | null): IoCounters {
    const bytes = this.#bytes.readIfChanged()
    if (bytes === null) return this.#last
    const counters: IoCounters = { ...NO_COUNTERS }
    sumV1(bytes, except, (reads, writes) => {
      counters.readBytes += reads
      counters.writeBytes += writes
    })
    sumV1(this.#operations.readText(), except, (reads, writes) => {
      counters.readOps += reads
      counters.writeOps += writes
    })
    this.#last = counters
    return counters
  }

  close(): void {
    for (const file of [...this.#rates, this.#bytes, this.#operations, this.weight, this.weightDevice]) file.close()
  }
}

/** Lines are `maj:min Read 4096`; other operations and the closing `Total 0` are passed over. */
function sumV1(text: string, except: string | null, add: (reads: number, writes: number) => void): void {
  for (const line of text.split('\n')) {
    const [disk, operation, amount] = line.split(' ')
    if (amount === undefined || disk === except) continue
    if (operation === 'Read') add(Number(amount), 0)
    else if (operation === 'Write') add(0, Number(amount))
  }
}

const V2_RATE_KEYS = ['rbps', 'wbps', 'riops', 'wiops'] as const

export class IoV2 implements IoDialect {
  readonly weight: ControlFile
  readonly weightDevice: ControlFile
  readonly #max: ControlFile
  readonly #stat: ControlFile
  #last: IoCounters = NO_COUNTERS

  constructor(directory: SandboxDirectory, place: Place) {
    this.#max = directory.file(place, 'io.max', 'write')
    this.#stat = directory.file(place, 'io.stat', 'read').open()
    this.weight = directory.file(place, 'io.bfq.weight', 'write')
    this.weightDevice = this.weight
  }

  writeRates(disk: string, rates: DiskRates, before: DiskRates): void {
    const changes = V2_RATE_KEYS.flatMap((key, index) => {
      const rate = rates[index]!
      return rate === before[index] ? [] : [`${key}=${rate === Infinity ? 'max' : rate}`]
    })
    if (changes.length > 0) this.#max.write(`${disk} ${changes.join(' ')}`)
  }

  weightText(weight: number): string {
    return `default ${weight}`
  }

  read(except: string | null): IoCounters {
    const text = this.#stat.readIfChanged()
    if (text === null) return this.#last
    const counters: IoCounters = { ...NO_COUNTERS }
    for (const line of text.split('\n')) {
      const [disk, ...fields] = line.split(' ')
      if (disk === except) continue
      for (const field of fields) {
        const amount = Number(field.slice(field.indexOf('=') + 1))
        if (field.startsWith('rbytes=')) counters.readBytes += amount
        else if (field.startsWith('wbytes=')) counters.writeBytes += amount
        else if (field.startsWith('rios=')) counters.readOps += amount
        else if (field.startsWith('wios=')) counters.writeOps += amount
      }
    }
    this.#last = counters
    return counters
  }

  close(): void {
    for (const file of [this.#max, this.#stat, this.weight]) file.close()
  }
}
