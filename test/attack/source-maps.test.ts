// A deploy brings a source map and the platform reads it: tried with a deploy token of one namespace, while a neighbour in
// another one is called.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'
import { type Neighbour, settleNeighbour } from './neighbour.ts'
import { type Attacker, attackerOf, EVIL, handler } from './uploads.ts'

let platform: Platform
let neighbour: Neighbour
let evil: Attacker
beforeAll(async () => {
  platform = await startPlatform()
  neighbour = await settleNeighbour(platform)
  evil = await attackerOf(platform, ['deploy'])
})
afterAll(() => platform.stop())

const call = (name: string) => platform.request(`/fn/${name}`, { headers: { 'fn-namespace': EVIL } })
const map = (changes: object) =>
  JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA', ...changes })
const PRINTS = handler("console.log('/code/x.js:1:1 '.repeat(1000));return new Response('hi')")
const undisturbed = { errors: [], coldErrors: [] }

test.each([
  ['a source name of 2 MB', map({ sources: ['A'.repeat(2_000_000)] }), /at most \d+ are taken/],
  ['200,000 sources', map({ sources: Array(200_000).fill('a') }), /200000 sources; at most/],
  ['a million names', map({ names: Array(300_000).fill('ab') }), /at most \d+ are taken/],
  ['12 million segments', Buffer.from(map({ mappings: 'CAAA,'.repeat(12_000_000) })), /at most \d+ are taken/],
  ['a map nested half a million deep', '['.repeat(500_000), /source map/],
  [
    'a section at line 2^31',
    map({ sections: [{ offset: { line: 2 ** 31 - 1, column: 0 }, map: JSON.parse(map({})) }] }),
    /lines/,
  ],
])('%s is refused at deploy with the bound and the way out, and no neighbour notices', async (_what, hostile, why) => {
  const report = await neighbour.during(() => evil.deploy({ name: 'bomb', source: PRINTS, map: hostile }))
  const { status, text } = report.attack
  expect(status, text).toBe(400)
  expect(JSON.parse(text)).toMatchObject({ code: 'DEPLOY_INVALID', detail: expect.stringMatching(why) })
  expect(text).toContain('index.cjs.map')
  expect(report).toMatchObject(undisturbed)
  expect(report.loopStandMs).toBeLessThan(100)
})

test('the largest map that a bundle may have is decoded in another thread, and printing its positions holds up no call', async () => {
  // As many segments as a bundle of its size may have, each position in a name of 4 kB.
  const source = `${PRINTS}//${'x'.repeat(2_000_000)}`
  const large = map({ sources: ['A'.repeat(4000)], mappings: 'CAAA,'.repeat(2_000_000) })
  const report = await neighbour.during(async () => {
    const deployed = await evil.deploy({ name: 'large', source, map: large })
    expect(deployed.status, deployed.text).toBe(201)
    for (let round = 0; round < 50; round++) expect((await call('large')).status).toBe(200)
  })
  expect(report).toMatchObject(undisturbed)
  expect(report.loopStandMs).toBeLessThan(100)
  // What was left out while the map was decoded is told by a later call.
  await until('what was left out is told', async () => {
    expect((await call('large')).status).toBe(200)
    const response = await evil.request('/v1/functions/large/logs?tail=20')
    const lines = ((await response.json()) as { line: string }[]).map(({ line }) => line)
    // A line of 1,000 positions grows by little.
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(40_000)
    return lines.some((line) => /^\d+ positions in this output are those of the bundle/.test(line))
  })
})
