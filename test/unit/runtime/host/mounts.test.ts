import { describe, expect, test } from 'vitest'
import { mountsUnder } from '../../../../runtime/host/mounts.ts'

const MOUNTINFO = [
  '22 27 0:21 / /proc rw,relatime - proc proc rw',
  '40 27 0:39 / /run/thaw/x/root ro - overlay overlay ro',
  '41 40 0:40 / /run/thaw/x/root/with\\040space rw - tmpfs tmpfs rw',
  '42 27 0:41 / /run/thaw/xy rw - tmpfs tmpfs rw',
  '43 27 0:42 / /run/thaw/x rw - tmpfs tmpfs rw',
  '',
].join('\n')

describe('mounts under a folder', () => {
  test('come latest first, names decoded, without those that only begin alike', () => {
    expect(mountsUnder('/run/thaw/x', MOUNTINFO)).toEqual([
      '/run/thaw/x',
      '/run/thaw/x/root/with space',
      '/run/thaw/x/root',
    ])
  })
})
