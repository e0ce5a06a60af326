// A bundle of some hundred kilobytes, as a small API has it: Hono for routes and zod for what comes in.
import { Hono } from 'hono'
import { z } from 'zod'

const Greeting = z.object({
  name: z.string().min(1).default('world'),
  times: z.coerce.number().int().max(9).default(1),
})
const app = new Hono()
app.get('/', (c) => {
  const { name, times } = Greeting.parse(c.req.query())
  return c.text(`Hello, ${name}!\n`.repeat(times))
})
export default app
