import { expect, test } from 'vitest'
import { hintForVerb } from '../../../cli/unknown-verb.ts'
import { VERBS } from '../../../cli/verbs.ts'

test.each([
  ['delpoy', 'did you mean: fn deploy? All verbs: fn --help'],
  ['list', 'here that is: fn ls'],
  ['delete', 'here that is: fn rm'],
  ['status', 'here that is: fn doctor'],
  ['cancel', 'here that is: fn jobs cancel ID'],
  ['result', 'here that is: fn get invocation ID'],
  ['top', 'it is planned and not built yet; what there is: fn --help'],
  ['constructor', 'all verbs: fn --help'],
  ['__proto__', 'all verbs: fn --help'],
])('%s: %s', (word, hint) => expect(hintForVerb(word)).toBe(hint))

test('no guess leads to a verb that ends or removes something', () => {
  for (const word of ['kil', 'kall', 'bill', 'r', 'mr', 'rn', 'restrt', 'pase', 'freez', 'rolback', 'dial', 'call1'])
    expect(hintForVerb(word)).not.toMatch(/fn (rm|kill|restart|rollback|pause|freeze)\b/)
})

test('no verb that exists is called planned or translated', () => {
  for (const { name } of VERBS) expect(hintForVerb(name)).not.toMatch(/planned|here that is/)
})
