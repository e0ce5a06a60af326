// The yardstick for throughput: a bare Hono server that does what functions/hello.ts does. Prints its port and ends when its
// stdin does.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'

const app = new Hono()
app.get('/', (c) => c.text(`Hello, ${c.req.query('name') ?? 'world'}!\n`))

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => console.log(port))
process.stdin.resume().once('end', () => process.exit(0))
