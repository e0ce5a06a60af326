// Which addresses callbacks may reach: the special ones of IPv4 and IPv6, names that resolve to them, what is allowed besides.
import { describe, expect, test } from 'vitest'
import { checkTarget, type Lookup, refusedAddress } from '../../../../../worker/queue/callbacks/address-filter.ts'
import { parseAllowList } from '../../../../../worker/registry/destinations.ts'

const { signal } = new AbortController()

const nothing = parseAllowList([])
const answers =
  (...addresses: string[]): Lookup =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
const never: Lookup = () => Promise.reject(new Error('asked'))

test.each([
  'http://127.0.0.1/',
  'http://127.1:8080/',
  'http://2130706433/',
  'http://0x7f.1/',
  'http://0.0.0.0/',
  'http://10.1.2.3/',
  'http://172.31.255.255/',
  'http://192.168.0.1/',
  'http://100.64.0.1/',
  'http://169.254.169.254/latest/meta-data/',
  'http://224.0.0.1/',
  'http://255.255.255.255/',
  'http://[::1]/',
  'http://[::]/',
  'http://[::ffff:127.0.0.1]/',
  'http://[::ffff:a9fe:a9fe]/',
  'http://[fe80::1]/',
  'http://[fd00:ec2::254]/',
  'http://[64:ff9b::7f00:1]/',
  'http://[2002:7f00:1::]/',
  'http://[ff02::1]/',
])('%s is refused', async (url) => {
  await expect(checkTarget(new URL(url), nothing, signal, never)).rejects.toThrow(/not a public address/)
  expect(refusedAddress(new URL(url), nothing)).toMatch(/not a public address/)
})

test.each(['http://1.1.1.1/', 'http://172.32.0.1/', 'https://[2606:4700::1111]/'])('%s may be reached', async (url) => {
  await expect(checkTarget(new URL(url), nothing, signal, never)).resolves.toMatchObject({ family: expect.any(Number) })
})

describe('a name', () => {
  test('is refused when it resolves to special addresses alone, naming the way out', async () => {
    const check = checkTarget(new URL('http://inside.example/'), nothing, signal, answers('127.0.0.1', '::1'))
    await expect(check).rejects.toThrow(/inside\.example \(127\.0\.0\.1, ::1\).*--callback-allow inside\.example/)
  })

  test('is resolved once, and the connection goes to the public address that was checked', async () => {
    let asked = 0
    const changing: Lookup = async () => [{ address: asked++ === 0 ? '1.1.1.1' : '127.0.0.1', family: 4 }]
    expect(await checkTarget(new URL('http://x.example/'), nothing, signal, changing)).toEqual({
      address: '1.1.1.1',
      family: 4,
    })
    expect(asked).toBe(1)
    const mixed = answers('10.0.0.1', '1.1.1.1')
    expect(await checkTarget(new URL('http://x.example/'), nothing, signal, mixed)).toMatchObject({
      address: '1.1.1.1',
    })
  })
})

describe('an administrator allows', () => {
  test('a host by name, an address, a network, and nothing beside them', async () => {
    const allow = parseAllowList(['hooks.internal', '127.0.0.1', '10.0.0.0/8', 'fd00::/8'])
    const check = (url: string, lookup: Lookup = never) => checkTarget(new URL(url), allow, signal, lookup)
    await expect(check('http://hooks.internal/', answers('192.168.1.1'))).resolves.toMatchObject({})
    await expect(check('http://127.0.0.1:99/')).resolves.toMatchObject({ address: '127.0.0.1' })
    await expect(check('http://10.200.0.1/')).resolves.toMatchObject({ address: '10.200.0.1' })
    await expect(check('http://[fd12::1]/')).resolves.toMatchObject({ family: 6 })
    await expect(check('http://127.0.0.2/')).rejects.toThrow(/not a public/)
    await expect(check('http://other.internal/', answers('192.168.1.1'))).rejects.toThrow(/not a public/)
  })

  test.each(['10.0.0.0/33', 'http://x', '10.0.0.0/8/8', 'a b', 'host/8'])('%j is no entry', (entry) => {
    expect(() => parseAllowList([entry])).toThrow(/host name, an address or a network/)
  })
})

test('without a resolver only what has a bad address in it is refused', () => {
  for (const url of [
    'https://example.com/',
    'http://localhost/',
    'http://93.184.215.14/',
    'http://[2606:2800:21f::1]/',
  ])
    expect(refusedAddress(new URL(url), nothing), url).toBeNull()
  expect(refusedAddress(new URL('http://127.0.0.1:9/'), parseAllowList(['127.0.0.1']))).toBeNull()
})
