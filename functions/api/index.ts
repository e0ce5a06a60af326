// A Hono app as Hono's own guide writes it, nothing changed for Thaw: several routes, middleware, errors, `export default app`.
//   bin/fn deploy functions/api
//   curl -d '{"text":"buy milk"}' -H 'content-type: application/json' http://127.0.0.1:8080/fn/api/notes
//   curl http://127.0.0.1:8080/fn/api/notes
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { HTTPException } from 'hono/http-exception'
import { streamText } from 'hono/streaming'

interface Note {
  readonly id: number
  readonly text: string
}

/** Lives as long as the sandbox: a cache, not a database. */
const notes = new Map<number, Note>()
let nextId = 1

const app = new Hono()

app.use('*', cors({ origin: 'https://example.org' }))
app.use('*', async (c, next) => {
  await next()
  c.header('x-powered-by', 'hono')
})

app.get('/', (c) => c.text('notes'))
app.get('/notes', (c) => c.json([...notes.values()]))
app.get('/notes/:id{[0-9]+}', (c) => {
  const note = notes.get(Number(c.req.param('id')))
  return note ? c.json(note) : c.json({ error: 'no such note' }, 404)
})
app.post('/notes', async (c) => {
  const { text } = await c.req.json<{ text?: unknown }>().catch(() => ({ text: undefined }))
  if (typeof text !== 'string' || text === '') throw new HTTPException(400, { message: 'text: expected a string' })
  const note: Note = { id: nextId++, text }
  notes.set(note.id, note)
  return c.json(note, 201, { location: `notes/${note.id}` })
})
app.delete('/notes/:id{[0-9]+}', (c) => (notes.delete(Number(c.req.param('id'))) ? c.body(null, 204) : c.notFound()))
app.get('/search', (c) => c.json({ q: c.req.query('q') ?? null, tags: c.req.queries('tag') ?? [] }))
app.get('/lines', (c) =>
  streamText(c, async (stream) => {
    for (const word of ['one', 'two', 'three']) await stream.writeln(word)
  }),
)
app.get('/boom', () => {
  throw new Error('boom')
})

app.notFound((c) => c.json({ error: 'no such route' }, 404))
app.onError((error, c) => {
  if (error instanceof HTTPException) return c.json({ error: error.message }, error.status)
  console.error(error)
  return c.json({ error: 'something broke' }, 500)
})

export default app
