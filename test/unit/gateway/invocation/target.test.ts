import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  hasDotSegments,
  leavesRoot,
  parseHostTarget,
  parsePathTarget,
  toOriginForm,
} from '../../../../gateway/invocation/target.ts'

describe('a path target', () => {
  test.each([
    ['/fn/a', 'a', '/', '/fn/a'],
    ['/fn/a@prod/x/y?z=1/2', 'a@prod', '/x/y?z=1/2', '/fn/a@prod'],
    ['/fn/a?b', 'a', '/?b', '/fn/a'],
    ['/fn/a?b/c', 'a', '/?b/c', '/fn/a'],
    ['/fn/a//', 'a', '//', '/fn/a'],
    ['/fn/', '', '/', '/fn/'],
  ])('%s has the spec %s and is %s inside', (url, spec, target, prefix) => {
    expect(parsePathTarget(url)).toEqual({ namespace: null, spec, target, prefix })
  })

  test.each(['/fn', '/fnx/a', '/', '/v1/fn/a', '/FN/a'])('%s is none', (url) => {
    expect(parsePathTarget(url)).toBeNull()
  })
})

describe('a host target', () => {
  test.each([
    ['a.localhost', null, 'a'],
    ['a.localhost:8080', null, 'a'],
    ['A.Ns.LocalHost:1', 'ns', 'a'],
    ['thaw.ns.localhost', 'ns', 'thaw'],
  ])('%s names a function', (host, namespace, spec) => {
    expect(parseHostTarget(host, '/x?y')).toEqual({ namespace, spec, target: '/x?y', prefix: '' })
  })

  test.each(['localhost', '.localhost', 'thaw.localhost:80', 'a.b.c.localhost', 'a.localhost.org', '127.0.0.1', ''])(
    '%s names none',
    (host) => {
      expect(parseHostTarget(host, '/')).toBeNull()
    },
  )
})

describe('dot segments', () => {
  test('that a URL parser would lead out of the root are always seen', () => {
    const piece = fc.constantFrom('.', '..', '%2e', '%2E.', '.%2e', '%2e%2E', 'a', '', '...', '%2f', 'b%20c', '\\')
    const path = fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join('/')}`)
    fc.assert(
      fc.property(path, (target) => {
        // What a normaliser makes of it behind a prefix must still lie behind that prefix, unless it was refused.
        const normal = new URL(`http://h/fn/name${target}`).pathname
        if (!leavesRoot(target)) expect(`${normal}/`).toMatch(/^\/fn\/name\//)
      }),
      { numRuns: 2000 },
    )
  })

  test('anywhere are seen for control calls', () => {
    const piece = fc.constantFrom('.', '..', '%2e', '%2E%2e', 'a', 'v1')
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), (pieces) => {
        const path = `/${pieces.join('/')}`
        expect(hasDotSegments(path)).toBe(pieces.some((each) => /^(\.|%2e)+$/i.test(each)))
      }),
    )
  })
})

describe('origin form', () => {
  test('is what a target becomes whose authority is this host, and nothing else', () => {
    expect(toOriginForm('/a', 'h')).toBe('/a')
    expect(toOriginForm('http://H:1/a?b', 'h:1')).toBe('/a?b')
    expect(toOriginForm('http://h', 'h')).toBe('/')
    expect(toOriginForm('http://h?x', 'h')).toBe('/?x')
    for (const url of ['http://other/a', 'http://h@other/a', '*', 'h:80', 'ftp://h/a', ''])
      expect(toOriginForm(url, 'h')).toBeNull()
  })
})
