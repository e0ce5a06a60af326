// The meter over stub controllers: which counters it reads when, and whose growth is whose.
import { beforeEach, describe, expect, test } from 'vitest'
import { Meter, type MeteredParts } from '../../../../runtime/cgroup/metering.ts'

const counters = { cpuUs: 0, pageFaults: 0, usageBytes: 0, peakBytes: 0, swapPeakBytes: 0 as number | null }
const reads = { cpu: 0, pageFaults: 0, resets: 0 }
let meter: Meter

beforeEach(() => {
  Object.assign(counters, { cpuUs: 0, pageFaults: 0, usageBytes: 1000, peakBytes: 1000, swapPeakBytes: 0 })
  Object.assign(reads, { cpu: 0, pageFaults: 0, resets: 0 })
  meter = new Meter({
    usage: {
      read: () => {
        reads.cpu++
        return { totalUs: counters.cpuUs, userUs: counters.cpuUs }
      },
    },
    cpu: { throttledUs: () => 0 },
    memory: {
      peaksPerCall: true,
      resetPeaks: () => {
        reads.resets++
        counters.peakBytes = counters.usageBytes
      },
      peakBytes: () => counters.peakBytes,
      usageBytes: () => counters.usageBytes,
      swapPeakBytes: () => counters.swapPeakBytes,
      oomKills: () => 0,
      pageFaults: () => {
        reads.pageFaults++
        return counters.pageFaults
      },
    },
    pids: { peak: () => 7 },
    io: null,
    freezer: { takeDurations: () => ({ freezeUs: 0, thawUs: 0 }) },
  } as unknown as MeteredParts)
})

/** A call that uses so much. */
function called(cpuUs: number, pageFaults = 0, atOnce = false) {
  meter.begin(atOnce)
  counters.cpuUs += cpuUs
  counters.pageFaults += pageFaults
  return meter.end(true)
}

describe('a call handed over at once', () => {
  test('begins where the one before ended, without a reading of its own', () => {
    called(100)
    const readings = reads.cpu
    expect(called(40, 0, true)).toMatchObject({ cpuUserUs: 40, idleCpuUs: 0 })
    expect(reads.cpu).toBe(readings + 1)
  })

  test('is read anew when it comes later, so that what happened between is idle time', () => {
    called(100)
    counters.cpuUs += 7
    expect(called(40)).toMatchObject({ cpuUserUs: 40, idleCpuUs: 7 })
  })

  test('keeps the peak where memory stood at it, and starts a new one where it did not', () => {
    called(100)
    expect(reads.resets).toBe(1)
    called(100, 0, true)
    expect(reads.resets).toBe(1)
    meter.begin(true)
    counters.peakBytes = 5000
    expect(meter.end(true).memoryPeakBytes).toBe(5000)
    expect(called(100, 0, true).memoryPeakBytes).toBe(1000)
    expect(reads.resets).toBe(2)
  })

  test('starts a new peak after a limit was written, which may have taken memory away', () => {
    called(100)
    counters.usageBytes = 400
    meter.limitsChanged()
    expect(called(100, 0, true).memoryPeakBytes).toBe(400)
  })

  test('starts a new peak while there is swap in use', () => {
    counters.swapPeakBytes = 10
    called(100)
    called(100, 0, true)
    expect(reads.resets).toBe(2)
  })
})

describe('page faults', () => {
  test('are read for each call that used some CPU', () => {
    expect(called(400, 3).pageFaults).toBe(3)
    expect(called(400, 5).pageFaults).toBe(5)
  })

  test('of short calls are told with a later one, and none is lost', () => {
    const told = Array.from({ length: 20 }, () => called(50, 2).pageFaults)
    expect(told.reduce((sum, faults) => sum + faults, 0)).toBe(40)
    expect(reads.pageFaults).toBeLessThan(8)
  })
})

describe('calls that overlap', () => {
  test('and leave without a reading close their pair: the next alone has its own figures', () => {
    meter.begin(false)
    meter.begin(false)
    counters.cpuUs += 1000
    meter.leave()
    expect(meter.end(false)).toMatchObject({ cpuUserUs: 1000, unshared: { cpuUserUs: 1000 } })
    const alone = called(30)
    expect(alone.cpuUserUs).toBe(30)
    expect(alone.unshared).toBeUndefined()
  })

  test('tell what one that left used with the next that ends', () => {
    for (let n = 0; n < 3; n++) meter.begin(false)
    counters.cpuUs += 100
    expect(meter.end(false).unshared?.cpuUserUs).toBe(100)
    counters.cpuUs += 20
    meter.leave()
    counters.cpuUs += 3
    expect(meter.end(false).unshared?.cpuUserUs).toBe(23)
  })

  test('that all left without a reading leave no pair open', () => {
    meter.begin(false)
    counters.cpuUs += 500
    meter.leave()
    expect(called(30).cpuUserUs).toBe(30)
  })
})
