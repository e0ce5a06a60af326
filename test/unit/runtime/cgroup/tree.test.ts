// Finding the hierarchies of a host in its mountinfo, and saying what is wrong with one that cannot be used.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findCgroupTree } from '../../../../runtime/cgroup/tree.ts'

const v1 = (point: string, controllers: string, flags = 'rw') =>
  `32 31 0:29 / ${point} ${flags},relatime shared:9 - cgroup cgroup rw,${controllers}`
const v2 = (point: string, flags = 'rw') => `41 31 0:38 / ${point} ${flags} - cgroup2 cgroup2 rw,nsdelegate`

describe('cgroup hierarchies', () => {
  let root: string
  const controllers = (folder: string, text: string) => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'cgroup.controllers'), `${text}\n`)
  }
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'tree-'))
  })
  afterEach(() => rmSync(root, { recursive: true }))

  test('a host with v2 alone has every controller in one place', () => {
    controllers(root, 'cpuset cpu io memory pids')
    const tree = findCgroupTree(v2(root), root)
    expect(tree).toMatchObject({ mode: 'v2', unified: root, freezer: null, hierarchies: [root] })
    for (const name of ['cpu', 'cpuacct', 'memory', 'pids', 'io', 'cpuset'] as const) {
      expect(tree.place(name), name).toEqual({ version: 2, root })
    }
  })

  test('a host with v1 alone has co-mounted controllers once', () => {
    const tree = findCgroupTree(
      [
        v1(`${root}/cpu,cpuacct`, 'cpu,cpuacct'),
        v1(`${root}/memory`, 'memory'),
        v1(`${root}/pids`, 'pids'),
        v1(`${root}/freezer`, 'freezer'),
      ].join('\n'),
      root,
    )
    expect(tree.mode).toBe('v1')
    expect(tree.place('cpuacct')).toEqual({ version: 1, root: `${root}/cpu,cpuacct` })
    expect(tree.freezer).toBe(`${root}/freezer`)
    expect(tree.place('io')).toBeNull()
    expect(tree.hierarchies).toHaveLength(4)
  })

  test('a hybrid host takes each controller from where it is', () => {
    controllers(`${root}/unified`, 'io hugetlb')
    const tree = findCgroupTree(
      [
        v1(`${root}/cpu`, 'cpu'),
        v1(`${root}/memory`, 'memory'),
        v1(`${root}/pids`, 'pids'),
        v2(`${root}/unified`),
      ].join('\n'),
      root,
    )
    expect(tree.mode).toBe('hybrid')
    expect(tree.place('memory')).toEqual({ version: 1, root: `${root}/memory` })
    expect(tree.place('io')).toEqual({ version: 2, root: `${root}/unified` })
  })

  test('mounts elsewhere, and other file systems, do not count', () => {
    controllers(root, 'cpu memory pids')
    const other = [
      v1('/elsewhere/memory', 'memory'),
      v1(`${root}-too/memory`, 'memory'),
      `23 1 254:0 / ${root}/x rw - ext4 /dev/vda rw`,
    ]
    expect(findCgroupTree([...other, v2(root)].join('\n'), root)).toMatchObject({ mode: 'v2', hierarchies: [root] })
  })

  test('an escaped mount point is read as what it is', () => {
    const point = `${root}/with space`
    controllers(point, 'cpu memory pids')
    expect(findCgroupTree(v2(point.replace(' ', '\\040')), root).unified).toBe(point)
  })

  const unsuitable = (message: RegExp) =>
    expect.objectContaining({ code: 'HOST_UNSUITABLE', message: expect.stringMatching(message) })

  test('no cgroups at all: the message says how to mount them', () => {
    expect(() => findCgroupTree('', root)).toThrow(unsuitable(/mount -t cgroup2/))
  })

  test('missing controllers are named', () => {
    controllers(root, 'cpu')
    expect(() => findCgroupTree(v2(root), root)).toThrow(unsuitable(/memory, pids/))
    const noFreezer = [v1(`${root}/cpu`, 'cpu'), v1(`${root}/memory`, 'memory'), v1(`${root}/pids`, 'pids')].join('\n')
    expect(() => findCgroupTree(noFreezer, root)).toThrow(unsuitable(/freezer/))
  })

  test('a read-only mount is named, with the way to remount it', () => {
    controllers(root, 'cpu memory pids')
    expect(() => findCgroupTree(v2(root, 'ro'), root)).toThrow(unsuitable(/remount,rw/))
  })
})
