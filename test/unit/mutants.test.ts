// Rows of `npm run test:mutation` must find what they break: code that moves takes its row along.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { MUTANTS } from '../mutation/mutants.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

test.each(MUTANTS)('the text that would break "$breaks" stands once in $file', ({ file, find }) => {
  expect(readFileSync(`${ROOT}${file}`, 'utf8').split(find)).toHaveLength(2)
})
