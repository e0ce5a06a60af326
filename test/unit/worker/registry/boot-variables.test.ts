import { describe, expect, test } from 'vitest'
import { bootReason, bootVariables, nodeOptionsProblems } from '../../../../worker/registry/boot-variables.ts'

test('only what is read at the start has to be there then', () => {
  expect(bootVariables({ NODE_OPTIONS: '--no-warnings', NODE_ENV: 'test', A: '1', UV_THREADPOOL_SIZE: '8' })).toEqual({
    NODE_OPTIONS: '--no-warnings',
    UV_THREADPOOL_SIZE: '8',
  })
  expect(bootReason({ NODE_ENV: 'production', TZ: 'UTC' })).toBeNull()
  expect(bootReason({ NODE_OPTIONS: '' })).toBe('NODE_OPTIONS is read when the process starts')
  expect(bootReason({ NODE_PATH: '', NODE_DEBUG: '' })).toBe('NODE_PATH, NODE_DEBUG are read when the process starts')
})

describe('NODE_OPTIONS', () => {
  test.each([
    '',
    '--no-warnings',
    '--max-http-header-size=1 --enable-source-maps',
    '--require /code/a.cjs --no-deprecation',
    '-r /code/x',
  ])('%j is taken', (text) => expect(nodeOptionsProblems(text)).toEqual([]))
  test.each([
    ['--nope', /--nope: Node takes no such option/],
    ['--no-warnings --expose-internals', /--expose-internals/],
    ['--eval 1', /--eval/],
    ['--inspect=0', /no debugger port/],
    ['words', /expected options/],
  ])('%j is not', (text, words) => expect(nodeOptionsProblems(text).join()).toMatch(words))
})
