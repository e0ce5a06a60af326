import { expect, test } from 'vitest'
import { checkFleetLimits } from '../../../../cli/up/fleet-limits.ts'
import type { LimitSupport } from '../../../../runtime/api.ts'

const yes: LimitSupport = { enforced: true, how: 'a file' }
const no: LimitSupport = { enforced: false, how: 'no bfq disk', fix: 'modprobe bfq' }
const small = { cores: 2, limits: { cpus: yes, blkioWeight: no } }
const large = { cores: 8, limits: { cpus: yes, blkioWeight: yes } }

test('a limit that one worker can enforce passes, one that none can is refused with the way out', () => {
  expect(() => checkFleetLimits({ blkioWeight: 300 }, [small, large])).not.toThrow()
  expect(() => checkFleetLimits({ blkioWeight: 300 }, [small, small])).toThrow(
    expect.objectContaining({
      code: 'LIMIT_UNSUPPORTED',
      message: 'blkioWeight: no worker can enforce it: no bfq disk; modprobe bfq',
    }),
  )
})

test('the largest worker says how many CPUs’ time may be asked for', () => {
  expect(() => checkFleetLimits({ cpus: 8 }, [small, large])).not.toThrow()
  expect(() => checkFleetLimits({ cpus: 8.5 }, [small, large])).toThrow(
    expect.objectContaining({
      code: 'LIMIT_UNSUPPORTED',
      message: 'cpus: 8.5: no worker has more than 8 CPUs; ask for 0.01 to 8',
    }),
  )
})

test('nothing is refused while no worker is known, nor what was not asked for', () => {
  expect(() => checkFleetLimits({ cpus: 99, blkioWeight: 300 }, [])).not.toThrow()
  expect(() => checkFleetLimits({ cpus: null, deviceReadBps: [], blkioWeight: null }, [small])).not.toThrow()
})
