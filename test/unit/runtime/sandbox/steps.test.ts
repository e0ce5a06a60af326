import { describe, expect, test } from 'vitest'
import { runSteps, type Step } from '../../../../runtime/sandbox/steps.ts'
import { silentLogger } from '../../../support/real-clock.ts'

let nowMs = 0
const clock = { now: () => nowMs, monotonicMs: () => nowMs, after: () => () => {} }
const options = { clock, logger: silentLogger }

function recorded(names: readonly string[], failing: string | null = null) {
  const log: string[] = []
  const steps = names.map(
    (name): Step => ({
      name,
      run: () => {
        nowMs += 5
        log.push(`run ${name}`)
        if (name === failing) throw new Error(`${name} failed`)
      },
      undo: async () => {
        log.push(`undo ${name}`)
      },
    }),
  )
  return { log, steps }
}

describe('steps', () => {
  test('run in order, are timed under their names, and are undone in reverse', async () => {
    const { log, steps } = recorded(['a', 'b', 'c'])
    const { times, undo } = await runSteps(steps, options)
    expect(times).toEqual([
      { name: 'a', ms: 5 },
      { name: 'b', ms: 5 },
      { name: 'c', ms: 5 },
    ])
    await undo()
    await undo()
    expect(log).toEqual(['run a', 'run b', 'run c', 'undo c', 'undo b', 'undo a'])
  })

  test('undo the one that failed and those before it, and throw its error', async () => {
    const { log, steps } = recorded(['a', 'b', 'c'], 'b')
    await expect(runSteps(steps, options)).rejects.toThrow('b failed')
    expect(log).toEqual(['run a', 'run b', 'undo b', 'undo a'])
  })

  test('go on undoing when one undo fails', async () => {
    const { log, steps } = recorded(['a', 'b'])
    const stubborn: Step = { name: 'stubborn', run: () => {}, undo: () => Promise.reject(new Error('busy')) }
    const { undo } = await runSteps([...steps, stubborn], options)
    await undo()
    expect(log.slice(-2)).toEqual(['undo b', 'undo a'])
  })

  test('fail where a test injects a failure', async () => {
    const { log, steps } = recorded(['a', 'b'])
    const afterStep = (name: string) => {
      if (name === 'a') throw new Error('injected')
    }
    await expect(runSteps(steps, { ...options, afterStep })).rejects.toThrow('injected')
    expect(log).toEqual(['run a', 'undo a'])
  })
})
