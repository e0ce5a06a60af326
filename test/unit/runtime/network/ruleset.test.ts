// The text of the filter, and what a host lacks for it.
import { expect, test } from 'vitest'
import { SPECIAL_V4 } from '../../../../runtime/network/addresses.ts'
import { missingForNetwork } from '../../../../runtime/network/network.ts'
import { type RulesetOptions, rulesetText } from '../../../../runtime/network/ruleset.ts'
import { parseCounters } from '../../../../runtime/network/sandbox-link.ts'

const options: RulesetOptions = {
  table: 'thaw-0000aaaa',
  interfacePrefix: 'thw0000aaaa-',
  gateway: '198.18.4.1',
  subnet: '198.18.4.0/22',
  allowed: ['10.1.0.0/16'],
  apart: [],
}

test('every special range is refused, and what an administrator allows is excused', () => {
  const text = rulesetText(options)
  for (const network of SPECIAL_V4) expect(text).toContain(network)
  expect(text).toMatch(/set allowed .*10\.1\.0\.0\/16/)
  expect(text).not.toContain('oifname { ')
})

test('interfaces between which nothing passed before stay apart', () => {
  expect(rulesetText({ ...options, apart: ['eth0', 'eth1'] })).toContain(
    'iifname { "eth0", "eth1" } oifname { "eth0", "eth1" } drop',
  )
})

test('the table is replaced whole, in one transaction', () => {
  expect(rulesetText(options).trimStart().split('\n').slice(0, 3)).toEqual([
    'add table inet thaw-0000aaaa',
    'delete table inet thaw-0000aaaa',
    'table inet thaw-0000aaaa {',
  ])
})

test.each([
  [[], null],
  [['nft'], 'install nftables (apt-get install nftables)'],
  [['nft', 'ip'], 'install nftables and iproute2 (apt-get install nftables iproute2)'],
])('a host without %j is told what to install', (absent, words) => {
  expect(missingForNetwork((program) => !(absent as string[]).includes(program))).toBe(words)
})

test('counters are those of the link, not of the loopback', () => {
  const head = 'Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n'
  const text = `${head}    lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n  eth0: 1234567 9 0 0 0 0 0 0     89 1 0 0 0 0 0 0\n`
  expect(parseCounters(text)).toEqual({ rxBytes: 1_234_567, txBytes: 89 })
  expect(parseCounters(head)).toEqual({ rxBytes: 0, txBytes: 0 })
})
