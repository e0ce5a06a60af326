// bin/fn without the platform: a Node that prints what it was given, and a PATH with nothing on it but what is named here.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'thaw-fn-'))
  mkdirSync(join(root, 'bin'))
  mkdirSync(join(root, 'path'))
  copyFileSync(join(import.meta.dirname, '../../../bin/fn'), join(root, 'bin/fn'))
  for (const arch of ['x64', 'arm64']) {
    mkdirSync(join(root, `node_modules/node-linux-${arch}/bin`), { recursive: true })
    script(`node_modules/node-linux-${arch}/bin/node`, 'echo "$@"')
  }
  script('path/id', 'echo 1000')
  for (const tool of ['readlink', 'dirname', 'uname'])
    symlinkSync(
      spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).stdout.trim(),
      join(root, 'path', tool),
    )
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function script(path: string, text: string): void {
  writeFileSync(join(root, path), `#!/bin/sh\n${text}\n`)
  chmodSync(join(root, path), 0o755)
}

/** What Node is given, and what was said besides; `cores`: what nproc says, null: there is none. */
function run(words: string, cores: number | null, env: Record<string, string> = {}) {
  if (cores !== null) script('path/nproc', `echo ${cores}`)
  const { stdout, stderr } = spawnSync('/bin/sh', [join(root, 'bin/fn'), ...words.split(' ')], {
    env: { PATH: join(root, 'path'), ...env },
    encoding: 'utf8',
  })
  return {
    pool: /--v8-pool-size=(\d+)/.exec(stdout)?.[1] ?? null,
    words: stdout.trim().split('/cli/bin.ts ')[1],
    stderr,
  }
}

test.each([
  ['up', 1, '1'],
  ['up', 2, '1'],
  ['gateway', 4, '3'],
  ['worker', 5, '4'],
  ['up', 6, null],
  ['up', 64, null],
  ['ls', 2, null],
  ['--state-dir /srv/thaw --json up --log info', 2, '1'],
  ['--state-dir=/srv/thaw worker', 2, '1'],
  ['--namespace up ls', 2, null],
  ['deploy up', 2, null],
])('fn %s on %i cores has %s threads for V8', (words, cores, pool) => {
  expect(run(words, cores)).toEqual({ pool, words, stderr: '' })
})

test('the platform has mounts of its own wherever its verb stands', () => {
  script('path/id', 'echo 0')
  script('path/true', '')
  script('path/unshare', 'case "$*" in *" true") ;; *) shift 3; echo own mounts; exec "$@" ;; esac')
  const own = (words: string) =>
    spawnSync('/bin/sh', [join(root, 'bin/fn'), ...words.split(' ')], {
      env: { PATH: join(root, 'path') },
      encoding: 'utf8',
    }).stdout.startsWith('own mounts')
  expect(['up', '--state-dir /srv/thaw up', '--json gateway', 'worker --log info'].map(own)).toEqual([
    true,
    true,
    true,
    true,
  ])
  expect(['ls', 'invoke up', '--url http://h up2'].map(own)).toEqual([false, false, false])
})

test('without nproc there are as many as Node has by itself, and nothing is complained of', () => {
  expect(run('up', null)).toEqual({ pool: null, words: 'up', stderr: '' })
})

test.each(['--v8-pool-size=8', '--trace-gc --v8_pool_size=8'])('NODE_OPTIONS with %s says how many', (options) => {
  expect(run('up', 2, { NODE_OPTIONS: options })).toEqual({ pool: null, words: 'up', stderr: '' })
})
