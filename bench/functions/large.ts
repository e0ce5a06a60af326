// A bundle of 400 kB, as a small API has it: Hono for routes, zod for what comes in, prom-client for what is counted.
import { Hono } from 'hono'
import { Counter, Registry } from 'prom-client'
import { coerce, object, string } from 'zod'

const Greeting = object({
  name: string().min(1).default('world'),
  times: coerce.number().int().max(9).default(1),
})
const registry = new Registry()
const greetings = new Counter({ name: 'greetings_total', help: 'Greetings sent.', registers: [registry] })
const app = new Hono()
app.get('/', (c) => {
  const { name, times } = Greeting.parse(c.req.query())
  greetings.inc(times)
  return c.text(`Hello, ${name}!\n`.repeat(times))
})
app.get('/metrics', async (c) => c.text(await registry.metrics()))
export default app
