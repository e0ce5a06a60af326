import { expect, test } from 'vitest'
import { ownSubmission } from '../../../../worker/queue/own-submission.ts'
import { versionOf } from '../../../support/samples.ts'

test('a call of the platform itself leaves attempts and age to the function’s retry policy', () => {
  const version = versionOf('report', {
    retry: { on: ['5xx'], backoffMs: 1, maxBackoffMs: 1, maxAgeMs: 5 },
  })
  const call = { id: 'id', version, method: 'POST', target: '/', headers: [], body: null, caller: 'schedule' }
  expect(ownSubmission(call)).toMatchObject({ maxAttempts: null, maxAgeMs: null, caller: 'schedule' })
})
