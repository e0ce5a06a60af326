// What becomes of the sandboxes of versions that no alias names any more.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { FunctionVersion, VersionFate } from '../../../../worker/api.ts'
import { settle } from '../../../support/fake-clock.ts'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'

let host: TestWorker
let latest: number
beforeEach(() => {
  latest = 1
  host = new TestWorker({ isPointedAt: ({ version }) => version === latest })
})
afterEach(() => host.close())

const version = (number: number) => versionOf('hello', {}, number)
const fate = ({ version: number }: { version: number }): VersionFate => (number === latest ? 'kept' : 'superseded')

/** As a deploy: the version is loaded, then `latest` moves to it. */
async function deploy(next: FunctionVersion): Promise<void> {
  await host.worker.verify(next)
  latest = next.version
  await host.worker.retire(fate, { namespace: next.namespace, name: next.name })
  await settle()
}
const held = () => host.worker.sandboxes(null).map((sandbox) => sandbox.version)

test('twenty deploys leave the sandbox of the last version alone', async () => {
  for (let number = 1; number <= 20; number++) await deploy(version(number))
  expect(held()).toEqual([20])
  expect(host.runtime.live).toHaveLength(1)
})

test('a call that runs meanwhile ends in its sandbox, which goes soon after', async () => {
  await deploy(version(1))
  const seen = await host.call(version(1))
  await deploy(version(2))
  expect(held().sort()).toEqual([1, 2])
  host.sandbox(0).call.respond()
  await settle()
  expect(seen.status).toBe(200)
  await host.clock.advance(10_000)
  expect(held()).toEqual([2])
})

test('a call by its number starts it again, warm for the next such call and gone ten seconds later', async () => {
  await deploy(version(1))
  await deploy(version(2))
  const first = await host.call(version(1))
  host.sandbox(2).call.respond()
  await settle()
  const second = await host.call(version(1))
  host.sandbox(2).call.respond()
  await settle()
  expect([first.start, second.start]).toEqual(['cold', 'warm'])
  await host.clock.advance(9_000)
  expect(held().sort()).toEqual([1, 2])
  await host.clock.advance(1_000)
  expect(held()).toEqual([2])
})

test('one that an alias names again is kept as any other, with its minWarm', async () => {
  const [one, two] = [versionOf('hello', { minWarm: 1 }, 1), version(2)]
  await deploy(one)
  await deploy(two)
  expect(held()).toEqual([2])
  await deploy(one)
  await host.clock.advance(60_000)
  expect(held()).toEqual([1])
})
