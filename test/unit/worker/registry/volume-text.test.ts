// Volumes as text: every form, and what is refused with what was expected.
import { expect, test } from 'vitest'
import { conflictOf, parseVolume } from '../../../../worker/registry/volume-text.ts'

test.each([
  ['uploads:/data', { kind: 'named', name: 'uploads', path: '/data', readOnly: false }],
  ['uploads:/data/in:ro', { kind: 'named', name: 'uploads', path: '/data/in', readOnly: true }],
  ['/srv/files:/files', { kind: 'bind', source: '/srv/files', path: '/files', readOnly: true }],
  ['/srv/files:/files:rw', { kind: 'bind', source: '/srv/files', path: '/files', readOnly: false }],
  ['tmpfs:/cache:size=64m', { kind: 'tmpfs', path: '/cache', sizeBytes: 64 * 1024 ** 2 }],
])('%s', (text, expected) => {
  expect(parseVolume(text)).toEqual(expected)
})

test.each([
  ['', 'expected NAME:/path'],
  ['uploads', 'expected NAME:/path'],
  ['uploads:data', 'expected an absolute path'],
  ['uploads:/', 'expected an absolute path'],
  ['uploads:/data/../etc', 'expected an absolute path'],
  ['uploads:/da ta', 'expected an absolute path'],
  ['uploads:/etc/x', "/etc is the platform's"],
  ['uploads:/tmp', "/tmp is the platform's"],
  ['uploads:/data:rx', 'expected ro or rw'],
  ['Up_loads:/data', 'expected a volume name'],
  ['../x:/data', 'expected a volume name'],
  ['/srv/../etc:/data', 'without . and ..'],
  ['tmpfs:/cache', 'a tmpfs has a size'],
  ['tmpfs:/cache:size=1k', 'at least 64k'],
  ['a:/b:ro:rw', 'expected NAME:/path'],
])('%j is refused', (text, words) => {
  expect(() => parseVolume(text)).toThrow(words)
})

test('volumes may not lie in one another, on one path, or be too many', () => {
  const at = (...paths: string[]) => conflictOf(paths.map((path) => parseVolume(`a:${path}`)))
  expect(at('/a', '/b', '/ab')).toBe(null)
  expect(at('/a/b', '/a')).toBe('/a/b lies within /a')
  expect(at('/a', '/a')).toBe('/a is taken twice')
  expect(at(...Array.from({ length: 17 }, (_none, index) => `/v${index}`))).toBe('expected at most 16, got 17')
})
