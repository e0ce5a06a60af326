// Learns and writes as a platform does, without end, to be killed: `node known-calls-writer.ts FILE`. Prints a line when it begins.
import { Retention } from '../../worker/pool/retention.ts'
import { writeRetention } from '../../worker/pool/retention-file.ts'
import { realClock, silentLogger } from './real-clock.ts'

const FUNCTIONS = 2000
const retention = new Retention(realClock)
const path = process.argv[2] ?? ''
console.log('begun')
for (let round = 1; ; round++) {
  const gaps = Array.from({ length: 1 + (round % 64) }, (_, index) => index + 2)
  const one = { lastMinute: 29_000_000 + (round % 1000), gaps }
  retention.restore(Object.fromEntries(Array.from({ length: FUNCTIONS }, (_, index) => [`default/f${index}`, one])))
  await writeRetention(path, retention, silentLogger)
}
