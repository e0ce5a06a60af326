// The naive runner: `runc run` of a fresh container for every call, its standard output the response. The container has Node, the
// host's libraries and every namespace but the user's; no pool, no limits, no metering. Prints its port; ends when its stdin does.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { run } from '../../runtime/host/spawn.ts'

const ANSWER = "process.stdout.write('Hello, world!\\n')"
const bundle = mkdtempSync(join(tmpdir(), 'thaw-bench-runc-'))
const root = join(bundle, 'rootfs')
const node = dirname(process.execPath)

const bind = (source: string, destination: string) => ({
  ...{ type: 'none', source, destination },
  options: ['rbind', 'ro'],
})
const host = ['/usr', '/lib', '/lib64'].filter((path) => existsSync(path))
for (const path of [...host, '/proc', '/node']) mkdirSync(join(root, path), { recursive: true })
writeFileSync(
  join(bundle, 'config.json'),
  JSON.stringify({
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, cwd: '/', args: ['/node/node', '-e', ANSWER], env: ['PATH=/usr/bin'] },
    root: { path: 'rootfs', readonly: true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      bind(node, '/node'),
      ...host.map((path) => bind(path, path)),
    ],
    linux: { namespaces: ['mount', 'uts', 'ipc', 'pid', 'network'].map((type) => ({ type })) },
  }),
)

let calls = 0
const server = createServer((_request, response) => {
  const id = `thaw-bench-${process.pid}-${calls++}`
  void run('runc', ['run', '--bundle', bundle, id]).then(({ code, stdout, stderr }) => {
    response.writeHead(code === 0 ? 200 : 500, { 'content-length': Buffer.byteLength(code === 0 ? stdout : stderr) })
    response.end(code === 0 ? stdout : stderr)
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (typeof address === 'object' && address !== null) console.log(address.port)
})
process.stdin.resume().once('end', () => {
  rmSync(bundle, { recursive: true, force: true })
  process.exit(0)
})
