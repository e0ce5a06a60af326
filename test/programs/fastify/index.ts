import { join } from 'node:path'
import files from '@fastify/static'
import Fastify from 'fastify'
import { fromNode } from 'thaw'

const app = Fastify()
app.register(files, { root: join(import.meta.dirname, 'public'), prefix: '/public/' })
app.get('/hello/:name', async (request) => ({ hello: (request.params as { name: string }).name }))
export default fromNode(app)
