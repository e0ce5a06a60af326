// Settings: a file, flags over it, and the name a function gets.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { bundleHandler } from '../../../../cli/bundle/bundle.ts'
import { commonJsExports, commonJsForm, detectForm } from '../../../../cli/bundle/form.ts'
import { chooseName, mergeManifest } from '../../../../cli/bundle/manifest.ts'

const HANDLERS = fileURLToPath(new URL('../../../fixtures/handlers', import.meta.url))

test('x.fn.json beside x.ts holds, without an editor’s schema reference', async () => {
  const { name, manifest } = await bundleHandler('with-manifest.ts', { cwd: HANDLERS })
  expect(name).toBe('settled')
  expect(manifest).toEqual({
    name: 'settled',
    timeout: '7s',
    env: { LEVEL: 'info', REGION: 'here' },
    limits: { memory: '96m', pids: 32 },
    entry: 'with-manifest.ts',
    form: 'web',
  })
})

test('flags go over it: limits and variables one by one, the rest as a whole', async () => {
  const flags = {
    name: 'other',
    settings: { timeout: '1s' },
    env: { LEVEL: 'debug' },
    limits: { memory: '64m', cpus: '0.5' },
  }
  const { name, manifest } = await bundleHandler(join(HANDLERS, 'with-manifest.ts'), { cwd: HANDLERS, flags })
  expect(name).toBe('other')
  expect(manifest).toMatchObject({
    timeout: '1s',
    env: { LEVEL: 'debug', REGION: 'here' },
    limits: { memory: '64m', pids: 32, cpus: '0.5' },
  })
})

test('no flags add no keys', () => {
  expect(mergeManifest({ timeout: '1s' }, { settings: {}, env: {}, limits: {} })).toEqual({ timeout: '1s' })
})

describe('the name', () => {
  test.each([
    [{}, 'hello', 'hello'],
    [{ name: 'shop' }, 'hello', 'shop'],
    [{}, 'a'.repeat(63), 'a'.repeat(63)],
  ])('of %o and %s is %s', (manifest, file, name) => {
    expect(chooseName(manifest, file)).toBe(name)
  })
  test.each(['Hello', 'a_b', '-a', 'a-', '', 'a'.repeat(64), 'thaw'])('%j is refused', (name) => {
    expect(() => chooseName({ name }, 'x')).toThrow(/function name/)
  })
})

describe('the form', () => {
  test.each([
    ['exports.handler = 1', 'lambda'],
    ['module.exports = __webpack_exports__', 'web'],
    ['__exportStar(require("./inner"), exports)', 'web'],
    ['module.exports = t(x); 0 && (module.exports = { handler });', 'lambda'],
  ])('of CommonJS %s is %s: what the text does not tell is left to the sandbox', (source, form) => {
    expect(commonJsForm(source, 'x.cjs')).toBe(form)
  })
  test('of CommonJS without any handler is refused', () => {
    expect(() => commonJsForm('exports.main = 1', 'x.cjs')).toThrow('x.cjs exports main, but no handler')
  })
  test('is web for a default export, lambda for handler; a default export wins', () => {
    expect(detectForm(['default'], 'x')).toBe('web')
    expect(detectForm(['handler', 'config'], 'x')).toBe('lambda')
    expect(detectForm(['handler', 'default'], 'x')).toBe('web')
    expect(() => detectForm([], 'x.ts')).toThrow('x.ts exports nothing')
  })
  test.each([
    ['exports.handler = async () => 1', ['handler']],
    ['module.exports.handler = x', ['handler']],
    ['module.exports = { handler }', ['handler']],
    ['module.exports = { a: 1, async handler(event) {} }', ['handler']],
    ['module.exports = { default: app, handler }', ['handler', 'default']],
    ['module.exports = app', ['default']],
    ['module.exports = { fetch(request) {} }', ['default']],
    ['Object.defineProperty(exports, "__esModule", { value: true }); exports.default = 1', ['default']],
    ['if (exports.handler == 1) {}', []],
    ['module.exports = __toCommonJS(x); 0 && (module.exports = {\n  handler\n});', ['handler']],
    ['module.exports=t(x);0&&(module.exports={handler,other});', ['handler', 'other']],
  ])('of CommonJS %s is read from %j', (source, names) => {
    expect(commonJsExports(source)).toEqual(names)
  })
})
